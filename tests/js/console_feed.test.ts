/** The rows of the Watch page: bounded, held while somebody reads, and searched without a pause. */
import assert from "node:assert/strict";
import test from "node:test";
import { Feed, gapText, lineOf, type Row } from "../../broker/console/src/model/feed.js";
import { Ring } from "../../broker/console/src/model/ring.js";
import { random } from "./support/random.js";

/** What a feed shows, top to bottom, as text. */
function shown(feed: Feed): string[] {
  while (!feed.advance(() => false));
  const texts: string[] = [];
  for (let n = feed.first; n < feed.end; n += 1) texts.push(textOf(feed.at(n)));
  return texts;
}

function textOf(row: Row | undefined): string {
  if (!row) return "nothing";
  return row.kind === "message" ? lineOf(row) : row.text;
}

function fill(feed: Feed, from: number, count: number): void {
  for (let n = from; n < from + count; n += 1) feed.add({ topic: `t/${n % 3}`, data: n });
}

test("a ring keeps the latest within both of its bounds", () => {
  const next = random(7);
  const ring = new Ring<number>(50, 1000);
  const all: { item: number; size: number }[] = [];
  let first = 0;
  for (let item = 0; item < 5000; item += 1) {
    const size = next() % 97;
    all.push({ item, size });
    assert.equal(ring.push(item, size), item);
    const sum = () => all.slice(first).reduce((bytes, each) => bytes + each.size, 0);
    while (all.length - first > 50 || (sum() > 1000 && all.length - first > 1)) first += 1;
    assert.deepEqual([ring.first, ring.end, ring.bytes], [first, all.length, sum()]);
    assert.equal(ring.at(first), first);
    assert.equal(ring.at(first - 1), undefined);
    assert.equal(ring.at(item), item);
  }
});

test("one item that is larger than the bound is kept until the next comes", () => {
  const ring = new Ring<string>(10, 100);
  ring.push("small", 10);
  ring.push("large", 1000);
  assert.equal(ring.length, 1);
  assert.equal(ring.at(1), "large");
  ring.push("next", 10);
  assert.deepEqual([ring.length, ring.bytes, ring.at(2)], [1, 10, "next"]);
});

test("a feed keeps the latest rows and counts all", () => {
  const feed = new Feed({ rows: 10, bytes: 1e6 });
  fill(feed, 0, 25);
  assert.deepEqual(shown(feed), ["15", "16", "17", "18", "19", "20", "21", "22", "23", "24"]);
  assert.equal(feed.received, 25);
});

test("large messages push out more than small ones", () => {
  const feed = new Feed({ rows: 1000, bytes: 100_000 });
  for (let n = 0; n < 50; n += 1) feed.add({ topic: "t", data: "x".repeat(30_000) });
  assert.equal(feed.kept, 3);
  assert.ok(feed.bytes <= 100_000);
});

test("while it is held nothing moves, and what came is there afterwards", () => {
  const feed = new Feed({ rows: 100, bytes: 1e6 });
  fill(feed, 0, 5);
  feed.hold();
  fill(feed, 5, 3);
  feed.note("gap", "3 lost", 0);
  assert.deepEqual(shown(feed), ["0", "1", "2", "3", "4"]);
  assert.deepEqual([feed.waiting, feed.received], [4, 8]);
  feed.release(0);
  assert.deepEqual(shown(feed), ["0", "1", "2", "3", "4", "5", "6", "7", "3 lost"]);
  assert.equal(feed.waiting, 0);
});

test("what is put by while it is held is bounded, and a row says what is not kept", () => {
  const feed = new Feed({ rows: 10, bytes: 1e6 });
  fill(feed, 0, 4);
  feed.hold();
  fill(feed, 4, 25);
  assert.equal(feed.waiting, 25);
  feed.release(0);
  const left = "16 rows came while this was paused and are not kept";
  assert.deepEqual(shown(feed), [left, "20", "21", "22", "23", "24", "25", "26", "27", "28"]);
  assert.equal(feed.received, 29);
});

test("that row stays where large messages were put by", () => {
  const feed = new Feed({ rows: 1000, bytes: 100_000 });
  feed.hold();
  for (let n = 0; n < 10; n += 1) feed.add({ topic: "t", data: `${n}${"x".repeat(30_000)}` });
  feed.release(0);
  const texts = shown(feed);
  assert.match(texts[0] ?? "", /^7 rows came/);
  assert.deepEqual(
    texts.slice(1).map((text) => text[1]),
    ["7", "8", "9"],
  );
});

test("the text filter finds in topics and data, whatever the case, and never hides gaps", () => {
  const feed = new Feed();
  feed.add({ topic: "Sensors/attic", data: 1 });
  feed.add({ topic: "x", data: { name: "ATTIC window" } });
  feed.add({ topic: "x", data: "nothing" });
  feed.note("gap", "lost", 0);
  feed.add({ topic: "x", data: Uint8Array.of(0xab, 0xcd) });
  feed.search("attic");
  assert.deepEqual(shown(feed), ["1", '{"name":"ATTIC window"}', "lost"]);
  feed.add({ topic: "y", data: "attics" });
  assert.deepEqual(shown(feed).at(-1), '"attics"');
  feed.search("ab cd");
  assert.deepEqual(shown(feed), ["lost", "2 bytes: ab cd"]);
  feed.search("");
  assert.equal(shown(feed).length, 6);
});

test("a search goes on in portions and follows what leaves", () => {
  const feed = new Feed({ rows: 1000, bytes: 1e9 });
  fill(feed, 0, 1000);
  feed.search("t/1");
  assert.equal(
    feed.advance(() => true),
    false,
    "a first portion is not all",
  );
  const early = feed.end - feed.first;
  assert.ok(early > 0 && early < 100, `${early} found in the first portion`);
  assert.equal(
    feed.advance(() => false),
    true,
  );
  assert.equal(feed.end - feed.first, 333);
  fill(feed, 1000, 500);
  const texts = shown(feed);
  assert.equal(texts[0], "502");
  assert.equal(texts.at(-1), "1498");
  assert.equal(texts.length, 333);
});

test("what was cleared does not come back, and the search goes on", () => {
  const feed = new Feed();
  fill(feed, 0, 10);
  feed.search("t/0");
  feed.clear();
  assert.deepEqual(shown(feed), []);
  fill(feed, 10, 6);
  assert.deepEqual(shown(feed), ["12", "15"]);
  assert.equal(feed.received, 6);
});

test("a gap is told with what is known of it", () => {
  assert.match(gapText({ reason: "slow", lost: 7 }), /^7 publications lost: .*journal/);
  assert.match(gapText({ reason: "resume" }), /^publications may be missing/);
});
