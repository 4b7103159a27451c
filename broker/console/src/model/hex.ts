/** Bytes as people read and write them: hex dumps, and hex typed or pasted in. */

const BYTES_A_LINE = 16;
const TABLE = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** `0000  48 65 6c 6c 6f  Hello`, a line for each 16 bytes, of the first `limit` bytes. */
export function hexDump(bytes: Uint8Array, limit = Infinity, perLine = BYTES_A_LINE): string {
  const end = Math.min(bytes.length, limit);
  const lines: string[] = [];
  for (let at = 0; at < end; at += perLine) {
    const line = bytes.subarray(at, Math.min(at + perLine, end));
    const offset = at.toString(16).padStart(4, "0");
    lines.push(`${offset}  ${toHex(line, " ").padEnd(3 * perLine - 1)}  ${printable(line)}`);
  }
  if (end < bytes.length) lines.push(`… ${bytes.length - end} more bytes`);
  return lines.join("\n");
}

export function toHex(bytes: Uint8Array, between = ""): string {
  return Array.from(bytes, (byte) => TABLE[byte]).join(between);
}

function printable(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "·")).join("");
}

export type ParsedHex = { bytes: Uint8Array } | { error: string };

/** Reads pairs of hex digits; white space, commas, colons and `0x` may stand between bytes. */
export function parseHex(text: string): ParsedHex {
  const bytes: number[] = [];
  for (const word of text.split(/[\s,:]+/)) {
    const digits = word.replace(/^0x/i, "");
    const bad = /[^0-9a-f]/i.exec(digits);
    if (bad) return { error: `“${bad[0]}” is no hex digit` };
    if (digits.length % 2 === 1) {
      return { error: `“${word.slice(0, 20)}” has an odd number of digits; a byte has two` };
    }
    for (let i = 0; i < digits.length; i += 2) bytes.push(parseInt(digits.slice(i, i + 2), 16));
  }
  return { bytes: Uint8Array.from(bytes) };
}

/** Base64 as the protocol wants it. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}
