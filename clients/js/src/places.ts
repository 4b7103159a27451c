/** What there is to reckon with positions where one feed serves several that began at different places. */
import { covers, type Positions } from "./positions.js";

/** The lesser position of each stream that one of them names. */
export function lesser(a: Positions, b: Positions): Positions {
  const at: Positions = new Map(a);
  for (const [stream, offset] of b) if (!at.has(stream) || covers(a, stream, offset)) at.set(stream, offset);
  return at;
}

/** Where a filter that named positions begins: there, or further on where that is gone. */
export function beginning(named: Positions, starts: Positions, isRecovered: boolean): Positions {
  const at: Positions = new Map(named);
  for (const [stream, offset] of starts) {
    if (!at.has(stream) || (!isRecovered && !covers(named, stream, offset))) at.set(stream, offset);
  }
  return at;
}

/** Where a feed is that was at `had` and has been asked to go on from `since`. Streams that it does not touch stay
 * where they were. */
export function after(had: Positions, since: Positions, starts: Positions, isRecovered: boolean): Positions {
  const begin = beginning(lesser(had, since), starts, isRecovered);
  const at: Positions = new Map(had);
  for (const stream of starts.keys()) at.set(stream, begin.get(stream) as string);
  return at;
}

/** Says whether one of them lies behind what was had: what is between is missing. */
export function isBeyond(starts: Positions, had: Positions): boolean {
  return [...starts].some(([stream, offset]) => had.has(stream) && !covers(had, stream, offset));
}
