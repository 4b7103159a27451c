/** Positions: greatest offset of each stream, compared as integers of up to 20 digits, and bounded in number. */
import assert from "node:assert/strict";
import test from "node:test";
import { covers, list, parse, raise, raiseAll, read, type Positions } from "../../clients/js/src/positions.js";

test("a position is a stream, the last dot, and an offset", () => {
  assert.deepEqual(parse("k3f9x2m0ab.17"), ["k3f9x2m0ab", "17"]);
  assert.deepEqual(parse("a.b.c.0"), ["a.b.c", "0"]);
  assert.deepEqual(parse(`${"x".repeat(64)}.18446744073709551615`), ["x".repeat(64), "18446744073709551615"]);
  for (const text of ["", ".", "a", "a.", ".1", "a.01", "a.1 ", "a.-1", "a.1.", 5, null, undefined, ["a.1"]])
    assert.equal(parse(text), undefined, String(text));
});

test("the greatest of each stream is kept, as an integer", () => {
  const at = read(["a.9", "a.10", "b.18446744073709551614", "a.2", 7, "nonsense", "b.18446744073709551615"]);
  assert.deepEqual(list(at).sort(), ["a.10", "b.18446744073709551615"]);
  raise(at, "b", "18446744073709551614");
  raiseAll(at, [
    ["a", "11"],
    ["c", "0"],
  ]);
  assert.deepEqual(list(at).sort(), ["a.11", "b.18446744073709551615", "c.0"]);
  for (const [stream, offset, expected] of [
    ["a", "11", true],
    ["a", "12", false],
    ["a", "9", true],
    ["d", "0", false],
  ] as const)
    assert.equal(covers(at, stream, offset), expected, `${stream}.${offset}`);
  assert.deepEqual([...read("a.1"), ...read(undefined), ...read({})], []);
});

test("random ones agree with big integers", () => {
  const at: Positions = new Map();
  let greatest = 0n;
  for (let i = 0; i < 2000; i++) {
    const offset = BigInt(Math.floor(Math.random() * 2 ** 53)) >> BigInt(Math.floor(Math.random() * 53));
    assert.equal(covers(at, "a", String(offset)), i > 0 && offset <= greatest);
    raise(at, "a", String(offset));
    if (offset > greatest) greatest = offset;
    assert.deepEqual(list(at), [`a.${greatest}`]);
  }
});

test("of too many streams the one that was longest without news is forgotten", () => {
  const at: Positions = new Map();
  for (let i = 0; i < 1024; i++) raise(at, `s${i}`, "5");
  raise(at, "s0", "1");
  raise(at, "new", "1");
  assert.deepEqual([at.size, at.get("s0"), at.has("s1"), at.has("s2")], [1024, "5", false, true]);
});
