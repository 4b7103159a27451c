/** The client over event streams and HTTP requests: what comes is what comes over a WebSocket. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { connect } from "../../clients/js/src/index.js";
import type { Client, ConnectOptions, Gap, Message } from "../../clients/js/src/types.js";
import { Broker } from "./support/broker.js";
import { atEnd } from "./support/cleanup.js";
import { Feed } from "./support/feed.js";
import { whole } from "./support/ledger.js";
import { Link } from "./support/link.js";
import { until } from "./support/wait.js";

function client(t: TestContext, at: { ws: string }, options: ConnectOptions = {}): Client {
  const made = connect(at.ws, { transports: ["events"], backoff: { min: 10, max: 200 }, ...options });
  atEnd(t, () => made.close());
  return made;
}

/** Subscribes, and keeps what comes. */
async function follow(of: Client, filter: string | string[], options: object = {}) {
  const seen: Message[] = [];
  const gaps: Gap[] = [];
  const sub = of.subscribe(filter, {
    ...options,
    onMessage: (message) => void seen.push(message),
    onGap: (gap) => void gaps.push(gap),
  });
  await sub.ready;
  return { sub, seen, gaps, data: () => seen.map(({ data }) => data) };
}

test("publications come in order, and publishing says where they stand", async (t) => {
  const broker = await Broker.start(t);
  const fan = client(t, broker);
  const { seen } = await follow(fan, "a/+");
  const published = await Promise.all([1, 2, 3].map((n) => fan.publish(`a/${n}`, { n })));
  await until(() => seen.length === 3, "three messages");
  assert.deepEqual(seen.map(({ topic, data, pos }) => ({ topic, data, pos })), [1, 2, 3].map((n, i) => ({
    topic: `a/${n}`, data: { n }, pos: published[i]!.pos,
  })));
  assert.equal((await broker.stats()).sessions.events, 1);
});

test("requests are answered: history, presence, ping, and what is refused", async (t) => {
  const broker = await Broker.start(t);
  const fan = client(t, broker);
  await broker.publish([1, 2, 3].map((data) => ({ topic: "h", data })));
  assert.deepEqual((await fan.history("h", { last: 2 })).map(({ data }) => data), [2, 3]);
  await assert.rejects(fan.presence("h"), { code: 404 });
  assert.ok((await fan.ping()) >= 0);
  await assert.rejects(fan.publish("$sys/x", 1), { code: 403 });
  const { pos } = await fan.publish("k", "one", { key: "same" });
  assert.deepEqual(await fan.publish("k", "one", { key: "same" }), { pos, duplicate: true });
});

test("a new filter looks back while others go on, and nothing comes twice", async (t) => {
  const broker = await Broker.start(t);
  const feed = new Feed(t, [broker], ["f/a", "f/b"]);
  const fan = client(t, broker);
  const all = await follow(fan, "f/#");
  await until(() => all.seen.length > 20, "the feed");
  await broker.publish([1, 2, 3].map((data) => ({ topic: "old/x", data })));
  await broker.publish({ topic: "old/kept", data: "kept", retain: true });
  const old = await follow(fan, "old/+", { last: 2 });
  await until(() => old.seen.length === 3, "what is past");
  assert.deepEqual(old.seen.map(({ data, retained }) => [data, retained]), [
    [2, undefined], [3, undefined], ["kept", true],
  ]);
  const before = all.seen.length;
  await until(() => all.seen.length > before + 20, "the feed goes on");
  await broker.publish({ topic: "old/x", data: 4 });
  await until(() => old.seen.length === 4, "what is new");
  old.sub.close();
  const ledger = await feed.stop();
  for (const each of ["f/a", "f/b"]) {
    const last = ledger.next(each) - 1;
    await until(() => all.seen.some(({ topic, data }) => topic === each && data === last), "the last one");
  }
  const first = Math.min(...all.seen.filter(({ topic }) => topic === "f/a").map(({ data }) => data as number));
  const firstB = Math.min(...all.seen.filter(({ topic }) => topic === "f/b").map(({ data }) => data as number));
  const { lost, ...rest } = ledger.judge(all.seen.map(({ topic, data }) => [topic, data as number] as const));
  assert.equal(lost, first + firstB);
  assert.deepEqual({ ...rest, lost: 0 }, whole(ledger));
  assert.deepEqual(all.gaps, []);
});

test("a cut loses nothing", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  const fan = client(t, link);
  const { seen, gaps } = await follow(fan, ["c/#"]);
  const feed = new Feed(t, [broker], ["c/1", "c/2", "c/3"]);
  for (let n = 1; n <= 3; n++) {
    const count = seen.length;
    await until(() => seen.length > count + 30, "the feed");
    link.cut();
    const { accepted } = feed.ledger;
    await until(() => feed.ledger.accepted > accepted + 20, "more is published");
    link.restore();
  }
  const ledger = await feed.stop();
  await until(() => seen.length >= ledger.accepted, "everything");
  assert.deepEqual(ledger.judge(seen.map(({ topic, data }) => [topic, data as number] as const)), whole(ledger));
  assert.deepEqual(gaps, []);
});

test("each subscription has its own every", async (t) => {
  const broker = await Broker.start(t);
  const fan = client(t, broker);
  const all = await follow(fan, "e/all");
  const some = await follow(fan, "e/some", { every: 300 });
  const numbers = Array.from({ length: 40 }, (_, n) => n);
  await broker.publish(numbers.flatMap((data) => [{ topic: "e/all", data }, { topic: "e/some", data }]));
  await until(() => some.data().at(-1) === 39, "the last one");
  assert.deepEqual(all.data(), numbers);
  assert.deepEqual(some.data(), [0, 39]);
});
