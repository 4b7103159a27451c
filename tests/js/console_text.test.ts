/** How the console writes values, bytes and topics, and what it says of those that people type. */
import assert from "node:assert/strict";
import test from "node:test";
import { hexDump, parseHex, toBase64, toHex } from "../../broker/console/src/model/hex.js";
import { checkJson } from "../../broker/console/src/model/json_check.js";
import {
  oneLine,
  prettyText,
  prettyTokens,
  weight,
} from "../../broker/console/src/model/json_text.js";
import { filterError, topicError, wildParts } from "../../broker/console/src/model/levels.js";
import * as rows from "../../broker/console/src/model/rows.js";
import { random } from "./support/random.js";

/** What checkJson() says of a text, `line:column message`, or "ok". */
function verdict(text: string): string {
  const checked = checkJson(text);
  if (!checked.error) return checked.warning ?? "ok";
  return `${checked.error.line}:${checked.error.column} ${checked.error.message}`;
}

test("JSON that is wrong is told where, and what would be right", () => {
  const cases: [string, string][] = [
    ["", "1:1 there is no value yet"],
    ['{"a": 1,\n "b": }', "2:7 a value is missing before “}”"],
    ['{"a": 1\n "b": 2}', "2:2 “,” or “}” is missing"],
    ['{"a": 1,}', "1:9 a comma with nothing after it"],
    ["[1, 2,\n]", "2:1 a comma with nothing after it"],
    ["[1 2]", "1:4 “,” or “]” is missing"],
    ["{a: 1}", "1:2 a key in double quotes is missing"],
    ['{"a" 1}', "1:6 “:” is missing after the key"],
    ["[\n  [1, 2\n", "3:1 “[” of line 2, column 3 is not closed"],
    ['"ab', "1:1 the string has no closing quote"],
    ["['a']", "1:2 strings are in double quotes"],
    ["[hello]", "1:2 “hello” is no value: text is in double quotes"],
    ["True", "1:1 “True” is no value: text is in double quotes"],
    ["01", "1:1 a number has no leading zeros"],
    ["[1.]", "1:2 “1.” is no number in JSON"],
    ["-", "1:1 “-” is no number in JSON"],
    ["1e999", "1:1 1e999 is too large for a number of 64 bits"],
    ['"\\x"', "1:2 “\\x” is no escape in JSON"],
    ['"\\u12"', "1:2 “\\u” wants four hex digits"],
    ['"a\tb"', "1:3 a control character in a string: write it as \\u00XX"],
    ['"\\ud83d"', "1:1 half of a surrogate pair in a string"],
    ['["😀", x]', "1:7 “x” is no value: text is in double quotes"],
    ["{} {}", "1:4 “{” after the end of the value"],
    ["[".repeat(33) + "]".repeat(33), "1:33 nested deeper than 32"],
  ];
  for (const [text, expected] of cases) assert.equal(verdict(text), expected, text);
});

test("JSON that is right gives its value", () => {
  const texts = [
    "0",
    "-0.5e-3",
    ' {"a":[true,false,null,"\\u00e9\\n"]} ',
    "[".repeat(32) + "]".repeat(32),
  ];
  for (const text of texts) {
    const checked = checkJson(text);
    assert.ok(!checked.error, text);
    assert.deepEqual(checked.value, JSON.parse(text));
  }
});

test("a number of which a browser would lose digits is published with a warning", () => {
  assert.match(
    verdict('{"id": 9007199254740993}'),
    /^9007199254740993 is published as 9007199254740992/,
  );
  assert.equal(verdict("9007199254740991"), "ok");
  assert.equal(verdict("100000000000000000000"), "ok");
});

test("of random texts those are right that the browser's own parser takes", () => {
  const next = random(20);
  const pieces = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"',
    "1",
    "-",
    ".5",
    "e1",
    "true",
    "null",
    " ",
    "\n",
    "\\",
    "0",
  ];
  let right = 0;
  for (let round = 0; round < 40_000; round += 1) {
    const length = 1 + (next() % 7);
    const text = Array.from({ length }, () => pieces[next() % pieces.length]).join("");
    let taken = true;
    try {
      JSON.parse(text);
    } catch {
      taken = false;
    }
    assert.equal(checkJson(text).error === undefined, taken, JSON.stringify(text));
    right += Number(taken);
  }
  assert.ok(right > 1000, `only ${right} were right`);
});

test("a line of a value is its JSON, cut where it is long", () => {
  assert.equal(oneLine({ a: [1, null, true], b: "x\n" }, 100), '{"a":[1,null,true],"b":"x\\n"}');
  assert.equal(oneLine("x".repeat(1e6), 10), '"xxxxxxxx…');
  assert.equal(oneLine(Array(1e6).fill(1), 7), "[1,1,1…");
  assert.equal(oneLine(Uint8Array.of(1, 0xff), 100), "2 bytes: 01 ff");
  assert.equal(oneLine({ raw: new Uint8Array(0) }, 100), '{"raw":0 bytes}');
  assert.equal(oneLine("a\u202eb\u200b\u0085", 100), '"a\\u202eb\\u200b\\u0085"');
  assert.equal(oneLine(12345678901234567890n, 100), "12345678901234567890");
});

test("a value is printed as JSON.stringify() would", () => {
  const values = [null, 1.5, "é", [], {}, [[]], { a: [1, { b: [] }], "c d": {} }, [1, "2", false]];
  for (const value of values) assert.equal(prettyText(value), JSON.stringify(value, null, 2));
  const kinds = prettyTokens({ a: ["x", 1, null] }).map((token) => token.kind);
  assert.deepEqual(
    kinds.filter((kind) => kind !== "plain"),
    ["key", "string", "number", "word"],
  );
});

test("the weight of a value grows with what it holds", () => {
  assert.ok(weight("x".repeat(1000)) >= 1000);
  assert.ok(weight(new Uint8Array(1000)) >= 1000);
  assert.ok(weight(Array(100).fill({ a: "bc" })) >= 2400);
});

test("bytes are dumped with offsets and what can be read", () => {
  const bytes = new TextEncoder().encode("Hello, fantail!\n\u0000\u00e9");
  assert.equal(
    hexDump(bytes),
    "0000  48 65 6c 6c 6f 2c 20 66 61 6e 74 61 69 6c 21 0a  Hello, fantail!·\n" +
      "0010  00 c3 a9                                         ···",
  );
  assert.match(hexDump(new Uint8Array(100), 32), /… 68 more bytes$/);
  assert.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
});

test("hex is read as people write it", () => {
  const read = (text: string): string => {
    const parsed = parseHex(text);
    return "bytes" in parsed ? toHex(parsed.bytes) : parsed.error;
  };
  assert.equal(read("48656c 6C:6f,0x0a\n"), "48656c6c6f0a");
  assert.equal(read(""), "");
  assert.equal(read("4g"), "“g” is no hex digit");
  assert.match(read("ab c"), /“c” has an odd number of digits/);
});

test("what a wildcard stood for is told from what the filter says", () => {
  const marked = (filter: string, topic: string): string =>
    wildParts(filter, topic)
      .map((part) => (part.wild ? `[${part.text}]` : part.text))
      .join("");
  assert.equal(marked("a/+/c", "a/b/c"), "a/[b]/c");
  assert.equal(marked("+/+", "a/b"), "[a]/[b]");
  assert.equal(marked("a/#", "a/b/c"), "a/[b/c]");
  assert.equal(marked("#", "a/b"), "a/b", "all of it, and so nothing");
  assert.equal(marked("a/#", "a"), "a");
  assert.equal(marked("a/+", "a/"), "a/");
  assert.equal(marked("a/b", "a/b"), "a/b");
  assert.equal(marked("a/+", "b/c"), "b/c");
  assert.equal(marked("$sys/+/stats", "$sys/n1/stats"), "$sys/[n1]/stats");
});

test("topics and filters are judged as the broker would, in words", () => {
  assert.equal(topicError("a/b c/é"), null);
  assert.match(topicError("a/+") ?? "", /must not contain “\+”/);
  assert.match(topicError("$sys/x") ?? "", /belong to the broker/);
  assert.match(topicError("") ?? "", /at least one/);
  assert.match(topicError("é".repeat(128)) ?? "", /has 256/);
  assert.match(topicError("/".repeat(32)) ?? "", /has 33/);
  assert.match(topicError("a\u0007") ?? "", /control/);
  for (const good of ["#", "+", "a/+/b/#", "$sys/#", "/"])
    assert.equal(filterError(good), null, good);
  for (const bad of ["a#", "#/a", "a+/b", "++"]) assert.match(filterError(bad) ?? "", /whole/, bad);
});

test("of a long list those rows are drawn that are in sight", () => {
  const view = { top: 1000, height: 100 };
  assert.deepEqual(rows.spanInSight(100_000, 20, view), { first: 46, end: 59 });
  assert.deepEqual(rows.spanInSight(3, 20, { top: 0, height: 100 }), { first: 0, end: 3 });
  assert.deepEqual(rows.spanInSight(0, 20, view), { first: 0, end: 0 });
  const next = random(3);
  for (let round = 0; round < 2000; round += 1) {
    const [count, rowHeight, height] = [next() % 3000, 1 + (next() % 60), next() % 1500];
    const top = next() % (rows.lastTop(count, rowHeight, height) + 1);
    const span = rows.spanInSight(count, rowHeight, { top, height });
    assert.ok(span.end - span.first <= rows.poolSize(rowHeight, height));
    assert.ok(span.first * rowHeight <= top);
    assert.ok(span.end === count || span.end * rowHeight >= top + height);
    const row = next() % Math.max(1, count);
    const shown = rows.topToShow(row, rowHeight, { top, height: Math.max(height, rowHeight) });
    assert.ok(shown <= row * rowHeight);
  }
});

test("keys move in a list and stop at its ends", () => {
  const after = (key: string, row: number): number | null => rows.rowAfterKey(key, row, 50, 10);
  assert.equal(after("ArrowDown", 49), 49);
  assert.equal(after("ArrowUp", 0), 0);
  assert.equal(after("PageDown", 5), 14);
  assert.equal(after("End", 5), 49);
  assert.equal(after("a", 5), null);
  assert.equal(rows.rowAfterKey("End", 0, 0, 10), null);
});
