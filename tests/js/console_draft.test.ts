/** What stands in the form of the Publish page, and what is published because of it. */
import assert from "node:assert/strict";
import test from "node:test";
import { dataBytes, EMPTY_DRAFT, readData, readDraft, type Draft } from "../../broker/console/src/model/draft.js";

function read(change: Partial<Draft>): ReturnType<typeof readDraft> {
  return readDraft({ ...EMPTY_DRAFT, topic: "a/b", text: "1", ...change });
}

test("a draft becomes a publication with what was said, and nothing else", () => {
  assert.deepEqual(read({}), { publication: { topic: "a/b", data: 1 } });
  const all = read({ text: "null", retain: true, ttl: "60", key: "k" });
  assert.deepEqual(all, { publication: { topic: "a/b", data: null, retain: true, ttl: 60, key: "k" } });
  assert.deepEqual(read({ form: "text", text: "{not json" }), { publication: { topic: "a/b", data: "{not json" } });
  const bytes = read({ form: "hex", text: "00 ff" });
  assert.deepEqual(bytes, { publication: { topic: "a/b", data: Uint8Array.of(0, 255) } });
});

test("all that is wrong is told at once, by field", () => {
  const wrong = read({ topic: "#", text: "[1,", ttl: "0", key: "é".repeat(65) });
  assert.ok("errors" in wrong);
  assert.deepEqual(Object.keys(wrong.errors), ["topic", "data", "ttl", "key"]);
  assert.match(wrong.errors.data ?? "", /^Line 1, column 4: /);
  assert.match(wrong.errors.key ?? "", /has 130$/);
  for (const ttl of ["-1", "1.5", "x", "9007199254740993"]) assert.ok("errors" in read({ ttl }), ttl);
  for (const ttl of ["1", "9007199254740991"]) assert.ok("publication" in read({ ttl }), ttl);
});

test("what a browser would change is said before it is published", () => {
  assert.match(readData("json", "[12345678901234567890]").warning ?? "", /12345678901234567000/);
  assert.equal(readData("json", "[1]").warning, undefined);
  assert.equal(readData("text", "\ud800").error, "half of a surrogate pair");
});

test("bytes are counted as they are sent", () => {
  assert.equal(dataBytes({ a: "é" }), 10);
  assert.equal(dataBytes(new Uint8Array(7)), 7);
});
