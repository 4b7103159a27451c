/**
 * The pause before the n-th attempt in a row (from 1 on): random, so that a broker that comes back
 * is not met by all of its clients at once, and longer each time.
 */
export const pause = (attempt: number, min: number, max: number): number =>
  min + Math.random() * (Math.min(max, min * 2 ** attempt) - min);
