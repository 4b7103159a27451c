/** protocol/vectors/, as far as a client is concerned: topics and filters, envelopes, and data in both encodings. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { json, toBase64, toBytes, toMessage } from "../../clients/js/src/json.js";
import { msgpack } from "../../clients/js/src/msgpack.js";
import { isFilter, isTopic, meet } from "../../clients/js/src/topics.js";

type Row = Record<string, unknown> & { name: string };
const vectors = (file: string): Record<string, Row[]> =>
  JSON.parse(readFileSync(new URL(`../../protocol/vectors/${file}.json`, import.meta.url), "utf8"));

const bytesOf = (hex: unknown): Uint8Array => Uint8Array.from(Buffer.from(String(hex), "hex"));
const buffer = (bytes: Uint8Array): ArrayBuffer => bytes.slice().buffer as ArrayBuffer;

/** The text of a row; undefined where its bytes are no text. */
function textOf({ input, input_hex }: Row): string | undefined {
  try {
    return input === undefined
      ? new TextDecoder("utf8", { fatal: true, ignoreBOM: true }).decode(bytesOf(input_hex))
      : String(input);
  } catch {
    return undefined;
  }
}

test("topics and filters are valid or not", () => {
  const { topics, filters } = vectors("topics");
  assert.ok(topics!.length > 20 && filters!.length > 20);
  for (const row of topics!) assert.equal(isTopic(textOf(row)), row.valid, row.name);
  for (const row of filters!) assert.equal(isFilter(textOf(row)), row.valid, row.name);
});

test("filters match topics as MQTT has it", () => {
  const { matches } = vectors("topics");
  assert.ok(matches!.length > 20);
  for (const { filter, topic, matches: expected } of matches!)
    assert.equal(meet(String(filter).split("/"), String(topic).split("/")), expected, `${filter} and ${topic}`);
});

test("what covers something meets it, and who covers nothing of it does not have to", () => {
  const { covers } = vectors("topics");
  const levels = (filter: unknown): string[] => String(filter).split("/");
  for (const { wide, narrow, covers: isCovering } of covers!) {
    const isMeeting = meet(levels(wide), levels(narrow));
    assert.ok(isMeeting || !isCovering, `${wide} and ${narrow}`);
    assert.equal(meet(levels(narrow), levels(wide)), isMeeting);
  }
});

test("envelopes are read with all their keys", () => {
  let count = 0;
  for (const row of vectors("envelopes").cases!) {
    const outcome = row.outcome as { envelope?: Record<string, unknown> }[];
    if (!outcome.length || !outcome.every(({ envelope }) => envelope)) continue;
    const read =
      row.encoding === "json"
        ? json.decode(String(textOf(row)))
        : msgpack.decode(
            buffer(row.input_hex === undefined ? Buffer.from(String(row.input)) : bytesOf(row.input_hex)),
          );
    assert.equal(read.length, outcome.length, row.name);
    outcome.forEach(({ envelope }, i) => {
      count++;
      for (const [key, value] of Object.entries(envelope!))
        if (key !== "data" && key !== "messages" && JSON.stringify(value).length < 1000)
          assert.deepEqual((read[i] as Record<string, unknown>)[key], value, `${row.name}: ${key}`);
    });
  }
  assert.ok(count > 50);
});

/** A JSON text as a value, with integers of 64 bits whole. */
function exact(text: string): unknown {
  if (/^-?\d+$/.test(text) && !Number.isSafeInteger(Number(text))) {
    const big = BigInt(text);
    if (BigInt.asIntN(64, big) === big || BigInt.asUintN(64, big) === big) return big;
  }
  return JSON.parse(text, (_, value) => (Object.is(value, -0) ? 0 : value));
}

const decoded = (hex: unknown): unknown => {
  const map = new Uint8Array([0x81, 0xa4, 0x64, 0x61, 0x74, 0x61, ...bytesOf(hex)]);
  return (msgpack.decode(buffer(map))[0] as { data: unknown }).data;
};

test("MessagePack data that came from JSON is what the JSON says", () => {
  const { from_json } = vectors("data");
  assert.ok(from_json!.length > 50);
  for (const { name, json: text, msgpack_hex } of from_json!) {
    const value = decoded(msgpack_hex);
    assert.deepEqual(Object.is(value, -0) ? 0 : value, exact(String(text)), name);
  }
});

test("what is published in MessagePack becomes the bytes that JSON would become", () => {
  let count = 0;
  for (const { name, json: text, msgpack_hex } of vectors("data").from_json!) {
    const value = exact(String(text));
    /* JSON's floats that are whole are integers in JavaScript. */
    if (name.includes("repeated")) continue; // the order of keys may be another
    if (typeof value === "number" && /[.e]|\d{20}/.test(String(text)) && Number.isInteger(value)) continue;
    const hex = Buffer.from(msgpack.encode({ data: value }) as Uint8Array).toString("hex");
    assert.equal(hex, `81a464617461${String(msgpack_hex)}`, name);
    count++;
  }
  assert.ok(count > 45);
});

test("MessagePack data is what its JSON says, bytes are bytes", () => {
  const plain = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value, (_, item) =>
        item instanceof Uint8Array ? toBase64(item) : typeof item === "bigint" ? String(item) : item,
      ),
      (_, item) => (Object.is(item, -0) ? 0 : item),
    );
  for (const { name, msgpack_hex, json: text, b64 } of vectors("data").from_msgpack!) {
    const value = decoded(msgpack_hex);
    const expected = b64 === undefined ? exact(String(text)) : toBytes(String(b64));
    assert.deepEqual(plain(value), plain(expected), name);
    if (b64 !== undefined) assert.ok(value instanceof Uint8Array, name);
  }
});

test("integers that a number holds are numbers, beyond that bigint, both ways", () => {
  for (const value of [
    0,
    2 ** 31,
    -(2 ** 31) - 1,
    2 ** 40,
    Number.MAX_SAFE_INTEGER,
    2n ** 53n,
    2n ** 64n - 1n,
    -(2n ** 63n),
  ])
    assert.deepEqual(msgpack.decode(buffer(msgpack.encode({ op: "x", value }) as Uint8Array)), [
      { op: "x", value },
    ]);
  const { at } = msgpack.decode(buffer(msgpack.encode({ at: 1763700000000 }) as Uint8Array))[0] as { at: unknown };
  assert.equal(at, 1763700000000);
});

test("MessagePack sends what JSON would: dates as text, nothing for undefined", () => {
  const value = { when: new Date(0), gone: undefined, list: [1.5, { deep: new Uint8Array([1]) }] };
  assert.deepEqual(msgpack.decode(buffer(msgpack.encode(value) as Uint8Array)), [
    { when: "1970-01-01T00:00:00.000Z", list: [1.5, { deep: Uint8Array.of(1) }] },
  ]);
});

test("a key that could become a prototype ends no connection", () => {
  const hex = "81a46461746181a95f5f70726f746f5f5f01"; // {"data": {"__proto__": 1}}
  assert.deepEqual(msgpack.decode(buffer(bytesOf(hex))), [{ data: { "__proto__ ": 1 } }]);
  const [parsed] = json.decode('{"op":"msg","data":{"__proto__":{"x":1}}}') as [{ data: { x?: number } }];
  assert.equal(parsed.data.x, undefined);
});

test("the wrong kind of message is not read", () => {
  assert.throws(() => json.decode(new ArrayBuffer(1)), TypeError);
  assert.throws(() => msgpack.decode("{}"), TypeError);
  assert.throws(() => msgpack.decode(buffer(bytesOf("c1"))));
});

test("bytes survive base64", () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 7) & 255);
  assert.deepEqual(toBytes(toBase64(bytes)), bytes);
  assert.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
  const message = toMessage({ op: "msg", topic: "a", b64: "AP8=", pos: "x.1", at: 5, retained: true, more: 1 });
  assert.deepEqual(message, { topic: "a", data: Uint8Array.of(0, 255), pos: "x.1", at: 5, retained: true });
});
