/**
 * The rows of the Watch page: messages as they come, with gaps and breaks of the connection among
 * them. Bounded in number and bytes. While it is held, what the reader sees stays, and what comes
 * is put by, bounded as well; a text filter is applied a little at a time, by whoever draws.
 */
import type { Gap, Message } from "fantail";
import { toHex } from "./hex.js";
import { oneLine, weight } from "./json_text.js";
import { Ring } from "./ring.js";

export interface MessageRow {
  kind: "message";
  message: Message;
  /** What a row shows of the data; made when it is first drawn. */
  line?: string;
}

/** Something between messages that the reader has to know. */
export interface NoteRow {
  kind: "gap" | "break" | "note";
  text: string;
  at: number;
}

export type Row = MessageRow | NoteRow;

export interface FeedLimits {
  rows: number;
  bytes: number;
}

export const LIMITS: FeedLimits = { rows: 20_000, bytes: 48 * 1024 * 1024 };

/** Characters of the data in a row: more than the widest screen shows. */
const LINE = 400;
const ROW_BYTES = 160;

export class Feed {
  /** Publications that came since the last clear(), also those that are not kept any more. */
  received = 0;
  #rows: Ring<Row>;
  #aside: Ring<Row>;
  #held = false;
  #needle = "";
  /**
   * Numbers of rows that have the text, while there is one; `#seen` is the next to be looked at.
   */
  #found: Ring<number>;
  #seen = 0;
  readonly #limits: FeedLimits;

  constructor(limits: FeedLimits = LIMITS) {
    this.#limits = limits;
    this.#rows = new Ring(limits.rows, limits.bytes);
    this.#aside = new Ring(limits.rows, limits.bytes);
    this.#found = new Ring(limits.rows);
  }

  get isHeld(): boolean {
    return this.#held;
  }

  /** Rows that came since it was held, whether they are kept or not. */
  get waiting(): number {
    return this.#aside.end;
  }

  /** Rows that are kept, whatever the text filter says. */
  get kept(): number {
    return this.#rows.length;
  }

  get bytes(): number {
    return this.#rows.bytes + this.#aside.bytes;
  }

  add(message: Message): void {
    this.received += 1;
    this.#push({ kind: "message", message }, weight(message.data) + message.topic.length);
  }

  note(kind: NoteRow["kind"], text: string, at: number): void {
    this.#push({ kind, text, at }, text.length);
  }

  #push(row: Row, bytes: number): void {
    (this.#held ? this.#aside : this.#rows).push(row, bytes + ROW_BYTES);
  }

  hold(): void {
    this.#held = true;
  }

  /** Goes on with what came meanwhile; a row says what of it is not kept. */
  release(now: number): void {
    if (!this.#held) return;
    this.#held = false;
    const aside = this.#aside;
    this.#aside = new Ring(this.#limits.rows, this.#limits.bytes);
    if (aside.first > 0) this.#noteLeftOut(aside, now);
    for (let n = aside.first; n < aside.end; n += 1) {
      const row = aside.at(n);
      if (row) this.#rows.push(row, aside.size(n));
    }
  }

  /** Makes room for the row that says it, which would be the first to be pushed out. */
  #noteLeftOut(aside: Ring<Row>, now: number): void {
    while (aside.length >= this.#limits.rows || aside.bytes + 2 * ROW_BYTES > this.#limits.bytes) {
      aside.shift();
    }
    this.note("note", `${aside.first} rows came while this was paused and are not kept`, now);
  }

  clear(): void {
    this.received = 0;
    this.#rows.clear();
    this.#aside = new Ring(this.#limits.rows, this.#limits.bytes);
    this.#found.clear();
    this.#seen = this.#rows.end;
  }

  /** Rows have to hold this text in their topic or data, whatever its case. Empty: all do. */
  search(text: string): void {
    this.#needle = text.toLowerCase();
    this.#found.clear();
    this.#seen = this.#rows.first;
  }

  /**
   * Applies the text filter, before rows are drawn, until `isLate` says so; false: there is more to
   * do.
   */
  advance(isLate: () => boolean): boolean {
    if (this.#needle === "") return true;
    // What left the ring is no longer found, either.
    while ((this.#found.at(this.#found.first) ?? Infinity) < this.#rows.first) this.#found.shift();
    this.#seen = Math.max(this.#seen, this.#rows.first);
    for (let looked = 1; this.#seen < this.#rows.end; looked += 1) {
      const row = this.#rows.at(this.#seen);
      if (row && hasText(row, this.#needle)) this.#found.push(this.#seen, 0);
      this.#seen += 1;
      if (looked % 64 === 0 && isLate()) return false;
    }
    return true;
  }

  /** The rows to show are those with the numbers `first` to `end - 1`; see at(). */
  get first(): number {
    return this.#needle === "" ? this.#rows.first : this.#found.first;
  }

  get end(): number {
    return this.#needle === "" ? this.#rows.end : this.#found.end;
  }

  at(number: number): Row | undefined {
    if (this.#needle === "") return this.#rows.at(number);
    const row = this.#found.at(number);
    return row === undefined ? undefined : this.#rows.at(row);
  }
}

/** What a row shows of a message's data. */
export function lineOf(row: MessageRow): string {
  row.line ??= oneLine(row.message.data, LINE);
  return row.line;
}

function hasText(row: Row, needle: string): boolean {
  // Gaps and breaks are never hidden: what the reader takes for complete has to be.
  if (row.kind !== "message") return true;
  const { topic, data } = row.message;
  return topic.toLowerCase().includes(needle) || dataText(data).toLowerCase().includes(needle);
}

function dataText(data: unknown): string {
  if (typeof data === "string") return data;
  return data instanceof Uint8Array ? toHex(data, " ") : oneLine(data, Infinity);
}

/** A gap in the words of the page. */
export function gapText(gap: Gap): string {
  const lost = gap.lost === undefined ? "publications" : `${gap.lost} publications`;
  const texts: Record<Gap["reason"], string> = {
    slow: `${lost} lost: this page was too slow, and the journal has them no more`,
    expired: `${lost} lost: what was asked for is not kept any more`,
    relay: `${lost} lost between the nodes`,
    resume: `${lost} may be missing: the connection was away for longer than the broker keeps them`,
    buffer: `${lost} dropped: this page was too slow`,
  };
  return texts[gap.reason] ?? `${lost} lost (${gap.reason})`;
}
