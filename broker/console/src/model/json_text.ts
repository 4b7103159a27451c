/**
 * Values as text: one bounded line for a row, indented and in pieces to be coloured for a closer
 * look. Bytes, also inside of other values, appear as hex.
 */
import { toHex } from "./hex.js";

export type TokenKind = "key" | "string" | "number" | "word" | "bytes" | "plain";

export interface Token {
  kind: TokenKind;
  text: string;
}

/**
 * The first `limit` characters of a value as JSON in one line. The cost is bounded with the length.
 */
export function oneLine(value: unknown, limit: number): string {
  const out = new Line(limit);
  write(value, out);
  return out.text;
}

class Line {
  text = "";
  /** More was to be added than there is room for. */
  isFull = false;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(more: string): void {
    if (this.isFull) return;
    this.text += more;
    this.isFull = this.text.length > this.#limit;
    if (this.isFull) this.text = `${this.text.slice(0, this.#limit - 1)}…`;
  }

  /** A string is cut before it is quoted: it may be long. */
  addString(value: string): void {
    this.add(quoted(value.length > this.#limit ? value.slice(0, this.#limit) : value));
  }
}

/** Characters that turn the direction of what follows, or cannot be seen: they are written as escapes. */
const UNSEEN = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function quoted(text: string): string {
  return JSON.stringify(text).replace(UNSEEN, (c) => {
    return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

const BYTES_IN_A_LINE = 24;

function write(value: unknown, out: Line): void {
  if (typeof value === "string") out.addString(value);
  else if (value instanceof Uint8Array) out.add(bytesText(value));
  else if (Array.isArray(value)) {
    out.add("[");
    for (const [i, item] of value.entries()) {
      if (out.isFull) return;
      if (i > 0) out.add(",");
      write(item, out);
    }
    out.add("]");
  } else if (isMap(value)) {
    out.add("{");
    let between = "";
    for (const key in value) {
      if (out.isFull) return;
      out.add(between);
      out.addString(key);
      out.add(":");
      write(value[key], out);
      between = ",";
    }
    out.add("}");
  } else out.add(scalarText(value));
}

function bytesText(bytes: Uint8Array): string {
  const shown = toHex(bytes.subarray(0, BYTES_IN_A_LINE), " ");
  const more = bytes.length > BYTES_IN_A_LINE ? " …" : "";
  const size = `${bytes.length} ${bytes.length === 1 ? "byte" : "bytes"}`;
  return shown === "" ? size : `${size}: ${shown}${more}`;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Numbers, booleans, null; bigint from MessagePack has no JSON.stringify(). */
function scalarText(value: unknown): string {
  return typeof value === "bigint" ? value.toString() : (JSON.stringify(value) ?? "null");
}

/** A value as indented JSON, in pieces. Empty arrays and maps stay in one line. */
export function prettyTokens(value: unknown): Token[] {
  const tokens: Token[] = [];
  pretty(value, "", tokens);
  return tokens;
}

export function prettyText(value: unknown): string {
  return prettyTokens(value)
    .map((token) => token.text)
    .join("");
}

function pretty(value: unknown, indent: string, out: Token[]): void {
  if (typeof value === "string") out.push({ kind: "string", text: quoted(value) });
  else if (value instanceof Uint8Array) out.push({ kind: "bytes", text: bytesText(value) });
  else if (Array.isArray(value)) {
    const items = value.map((item: unknown) => [null, item] as const);
    block("[", "]", items, indent, out);
  } else if (isMap(value)) block("{", "}", Object.entries(value), indent, out);
  else {
    const kind = typeof value === "number" || typeof value === "bigint" ? "number" : "word";
    out.push({ kind, text: scalarText(value) });
  }
}

function block(
  open: string,
  close: string,
  items: readonly (readonly [string | null, unknown])[],
  indent: string,
  out: Token[],
): void {
  if (items.length === 0) {
    out.push({ kind: "plain", text: open + close });
    return;
  }
  const deeper = `${indent}  `;
  for (const [i, [key, item]] of items.entries()) {
    out.push({ kind: "plain", text: `${i === 0 ? open : ","}\n${deeper}` });
    if (key !== null) {
      out.push({ kind: "key", text: quoted(key) }, { kind: "plain", text: ": " });
    }
    pretty(item, deeper, out);
  }
  out.push({ kind: "plain", text: `\n${indent}${close}` });
}

/** About how many bytes of memory a value takes: what bounds a list of values goes by this. */
export function weight(value: unknown): number {
  if (typeof value === "string") return 24 + value.length;
  if (value instanceof Uint8Array) return 64 + value.length;
  let sum = 16;
  if (Array.isArray(value)) {
    for (const item of value) sum += weight(item);
  } else if (isMap(value)) {
    for (const key in value) sum += 8 + key.length + weight(value[key]);
  }
  return sum;
}
