/**
 * Reads JSON as somebody types it and says what is wrong and where: line and column, which the
 * browsers' own parsers tell each in another way or not at all, and what the broker would refuse
 * although it is JSON (SPEC section 3, Data). The value itself comes from JSON.parse().
 */
const MAX_DEPTH = 32;

export interface JsonError {
  message: string;
  /** Both from 1, as editors count. */
  line: number;
  column: number;
  offset: number;
}

export type Checked =
  | { value: unknown; warning: string | null; error?: undefined }
  | { error: JsonError };

class Refusal extends Error {
  constructor(
    message: string,
    readonly offset: number,
  ) {
    super(message);
  }
}

/** Checks a text and gives its value, or the first thing that is wrong with it. */
export function checkJson(text: string): Checked {
  try {
    const scanner = new Scanner(text);
    scanner.document();
    return { value: JSON.parse(text) as unknown, warning: scanner.warning };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return {
      error: { message: error.message, offset: error.offset, ...place(text, error.offset) },
    };
  }
}

/** Line and column of an offset, from 1. A column is a character, not half of a surrogate pair. */
export function place(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const start = before.lastIndexOf("\n") + 1;
  return {
    line: before.split("\n").length,
    column: Array.from(before.slice(start)).length + 1,
  };
}

const LITERALS = ["true", "false", "null"];
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** What people type where a value should be, taken as one thing in the message. */
const WORD = /[A-Za-z0-9_$.+-]+/y;

class Scanner {
  warning: string | null = null;
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#space();
    if (this.#at === this.#text.length) this.#refuse("there is no value yet");
    this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) {
      this.#refuse(`${this.#found()} after the end of the value`);
    }
  }

  #value(depth: number): void {
    const c = this.#text[this.#at];
    if (c === "{" || c === "[") {
      if (depth === MAX_DEPTH) this.#refuse(`nested deeper than ${MAX_DEPTH}`);
      if (c === "{") this.#object(depth + 1);
      else this.#array(depth + 1);
    } else if (c === '"') this.#string();
    else if (c !== undefined && /[-0-9]/.test(c)) this.#number();
    else this.#literal();
  }

  #object(depth: number): void {
    const open = this.#at;
    this.#at += 1;
    this.#space();
    if (this.#take("}")) return;
    for (;;) {
      if (this.#text[this.#at] !== '"') {
        this.#unlessEnd(open, "a key in double quotes is missing", "{");
      }
      this.#string();
      this.#space();
      if (!this.#take(":")) this.#unlessEnd(open, "“:” is missing after the key", "{");
      this.#space();
      this.#value(depth);
      this.#space();
      if (this.#take("}")) return;
      if (!this.#take(",")) this.#unlessEnd(open, "“,” or “}” is missing", "{");
      this.#space();
      if (this.#text[this.#at] === "}") this.#refuse("a comma with nothing after it");
    }
  }

  #array(depth: number): void {
    const open = this.#at;
    this.#at += 1;
    this.#space();
    if (this.#take("]")) return;
    for (;;) {
      this.#value(depth);
      this.#space();
      if (this.#take("]")) return;
      if (!this.#take(",")) this.#unlessEnd(open, "“,” or “]” is missing", "[");
      this.#space();
      if (this.#text[this.#at] === "]") this.#refuse("a comma with nothing after it");
    }
  }

  #string(): void {
    const open = this.#at;
    this.#at += 1;
    for (;;) {
      const c = this.#text[this.#at];
      if (c === undefined || c === "\n") this.#refuse("the string has no closing quote", open);
      if (c === '"') break;
      if (c < " ") this.#refuse("a control character in a string: write it as \\u00XX");
      if (c === "\\") this.#escape();
      else this.#at += 1;
    }
    this.#at += 1;
    const value = JSON.parse(this.#text.slice(open, this.#at)) as string;
    if (/\p{Cs}/u.test(value)) this.#refuse("half of a surrogate pair in a string", open);
  }

  #escape(): void {
    const c = this.#text[this.#at + 1];
    if (c === "u") {
      if (!/^[0-9a-fA-F]{4}$/.test(this.#text.slice(this.#at + 2, this.#at + 6))) {
        this.#refuse("“\\u” wants four hex digits");
      }
      this.#at += 6;
    } else {
      if (c === undefined || !'"\\/bfnrt'.includes(c)) {
        this.#refuse(`“\\${c ?? ""}” is no escape in JSON`);
      }
      this.#at += 2;
    }
  }

  #number(): void {
    const word = this.#match(WORD);
    const number = this.#match(NUMBER);
    if (number === "" || number !== word) {
      const zero = /^-?0[0-9]/.test(word);
      this.#refuse(zero ? "a number has no leading zeros" : `“${cut(word)}” is no number in JSON`);
    }
    if (!Number.isFinite(Number(number))) {
      this.#refuse(`${cut(number)} is too large for a number of 64 bits`);
    }
    if (/^-?[0-9]+$/.test(number) && BigInt(Number(number)) !== BigInt(number)) {
      this.warning ??= `${cut(number)} is published as ${Number(number)}: browsers keep 53 bits`;
    }
    this.#at += number.length;
  }

  #literal(): void {
    const word = this.#match(WORD);
    if (LITERALS.includes(word)) {
      this.#at += word.length;
      return;
    }
    if (this.#text[this.#at] === "'") this.#refuse("strings are in double quotes");
    if (word !== "") this.#refuse(`“${cut(word)}” is no value: text is in double quotes`);
    this.#refuse(
      `a value is missing${this.#at < this.#text.length ? ` before ${this.#found()}` : ""}`,
    );
  }

  #space(): void {
    while (" \t\n\r".includes(this.#text[this.#at] ?? "x")) this.#at += 1;
  }

  #take(c: string): boolean {
    if (this.#text[this.#at] !== c) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? "";
  }

  #found(): string {
    return `“${String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0)}”`;
  }

  /** At the end of the text what was opened and not closed says more than what is missing there. */
  #unlessEnd(open: number, message: string, bracket: string): never {
    if (this.#at < this.#text.length) this.#refuse(message);
    const { line, column } = place(this.#text, open);
    this.#refuse(`“${bracket}” of line ${line}, column ${column} is not closed`);
  }

  #refuse(message: string, offset = this.#at): never {
    throw new Refusal(message, offset);
  }
}

function cut(text: string): string {
  return text.length <= 24 ? text : `${text.slice(0, 24)}…`;
}
