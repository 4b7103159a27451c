/**
 * Topics and filters as the pages show them: which part of a topic a wildcard stood for, and what
 * is wrong with one that somebody types (SPEC section 1).
 */
const MAX_BYTES = 255;
const MAX_LEVELS = 32;

/** A piece of a topic; `wild` where a wildcard of the filter stood for it. */
export interface Part {
  text: string;
  wild: boolean;
}

/**
 * Splits a topic into fixed and wild pieces. A topic that the filter does not match is all fixed.
 */
export function wildParts(filter: string, topic: string): Part[] {
  const isFixed = !filter.includes("+") && !filter.endsWith("#");
  // Where all is wild, nothing stands out.
  if (isFixed || filter === "#") return [{ text: topic, wild: false }];
  const wanted = filter.split("/");
  const levels = topic.split("/");
  const parts: Part[] = [];
  const add = (text: string, wild: boolean) => {
    const last = parts[parts.length - 1];
    if (last?.wild === wild) last.text += text;
    else if (text !== "") parts.push({ text, wild });
  };
  for (const [i, level] of levels.entries()) {
    const want = wanted[i];
    if (i > 0) add("/", false);
    if (want === "#") {
      add(levels.slice(i).join("/"), true);
      return parts;
    }
    if (want !== "+" && want !== level) return [{ text: topic, wild: false }];
    add(level, want === "+");
  }
  return parts;
}

/** Says what is wrong with a topic, or null. */
export function topicError(topic: string): string | null {
  const wildcard = /[+#]/.exec(topic);
  if (wildcard) return `a topic must not contain “${wildcard[0]}”: that is for filters`;
  if (topic.startsWith("$")) return "topics that begin with “$” belong to the broker";
  return nameError(topic, "topic");
}

/** Says what is wrong with a filter, or null. */
export function filterError(filter: string): string | null {
  const levels = filter.split("/");
  for (const [i, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || i < levels.length - 1)) {
      return "“#” may only be the whole of the last level, as in “a/#”";
    }
    if (level.includes("+") && level !== "+") {
      return "“+” may only be a whole level, as in “a/+/b”";
    }
  }
  return nameError(filter, "filter");
}

function nameError(name: string, what: string): string | null {
  if (name === "") return `a ${what} has at least one character`;
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > MAX_BYTES) return `a ${what} has at most ${MAX_BYTES} bytes; this one has ${bytes}`;
  const levels = name.split("/").length;
  if (levels > MAX_LEVELS) {
    return `a ${what} has at most ${MAX_LEVELS} levels; this one has ${levels}`;
  }
  if (/[\u0000-\u001f\u007f]/.test(name)) return `a ${what} must not contain control characters`;
  return hasLoneSurrogate(name) ? `a ${what} must be valid Unicode` : null;
}

/** True where the text is none that UTF-8 can express. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Cs}/u.test(text);
}
