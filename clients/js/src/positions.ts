/**
 * The greatest position seen of each stream (SPEC section 4): all that a client has to remember to
 * resume later. Offsets have up to 20 digits, more than a number holds, so they stay text.
 */
import type { Position } from "./types.js";

/** Offsets by stream, the stream that was longest without news first. */
export type Positions = Map<string, string>;

/** A few lives of the 256 streams of the largest cluster; of more, the oldest is forgotten. */
const STREAMS_MAX = 1024;

/** Splits `<stream>.<offset>`; undefined where it is no position. */
export function parse(pos: unknown): [string, string] | undefined {
  const found = typeof pos === "string" && /^(.{1,64})\.(0|[1-9]\d{0,19})$/s.exec(pos);
  return found ? [found[1] as string, found[2] as string] : undefined;
}

/** Compares two offsets as integers. */
export const isBeyond = (a: string, b: string): boolean =>
  a.length === b.length ? a > b : a.length > b.length;

export function covers(at: Positions, stream: string, offset: string): boolean {
  const known = at.get(stream);
  return known !== undefined && !isBeyond(offset, known);
}

/** Sets the offset of a stream, which has news. */
export function put(at: Positions, stream: string, offset: string): void {
  if (!at.delete(stream) && at.size >= STREAMS_MAX) at.delete(at.keys().next().value as string);
  at.set(stream, offset);
}

/** The same, unless a greater one is known. */
export function raise(at: Positions, stream: string, offset: string): void {
  const known = at.get(stream) ?? "";
  put(at, stream, isBeyond(known, offset) ? known : offset);
}

export function raiseAll(at: Positions, others: Iterable<[string, string]>): void {
  for (const [stream, offset] of others) raise(at, stream, offset);
}

/** Reads a list of positions; what is none is left out. */
export function read(list: unknown): Positions {
  const at: Positions = new Map();
  for (const pos of Array.isArray(list) ? list : []) {
    const parts = parse(pos);
    if (parts) raise(at, ...parts);
  }
  return at;
}

export const list = (at: Positions): Position[] =>
  [...at].map(([stream, offset]) => stream + "." + offset);
