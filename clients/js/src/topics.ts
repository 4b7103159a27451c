/**
 * Topics and filters: SPEC section 1. Levels are compared as text, which is byte by byte in UTF-8.
 */

/** Controls and lone surrogates, which no UTF-8 can hold. */
const FORBIDDEN = /[\0-\x1f\x7f\ud800-\udfff]/u;

/** Says whether the text is a filter; a topic is one without wildcards. */
export function isFilter(text: unknown): text is string {
  if (typeof text !== "string" || !text || FORBIDDEN.test(text)) return false;
  const levels = text.split("/");
  return (
    levels.length <= 32 &&
    new TextEncoder().encode(text).length <= 255 &&
    levels.every(
      (level, i) =>
        level === "+" || (level === "#" && i === levels.length - 1) || !/[+#]/.test(level),
    )
  );
}

export const isExact = (filter: string): boolean => !/[+#]/.test(filter);

export const isTopic = (text: unknown): text is string => isFilter(text) && isExact(text);

/** Says whether there is a topic that both match. Where one is a topic: whether the other matches
 * it. */
export function meet(a: readonly string[], b: readonly string[]): boolean {
  for (let i = 0; ; i++) {
    const x = a[i];
    const y = b[i];
    if (x !== y && i === 0 && (x?.[0] === "$" || y?.[0] === "$")) return false;
    if (x === "#" || y === "#") return true;
    if (x === undefined || y === undefined) return x === y;
    if (x !== y && x !== "+" && y !== "+") return false;
  }
}
