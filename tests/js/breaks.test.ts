/** The client in Node while the network breaks and goes silent, and while brokers and nodes are killed. */
import assert from "node:assert/strict";
import { ConnectionLostError } from "fantail";
import { Broker } from "./support/broker.js";
import { startCluster } from "./support/cluster.js";
import { Feed } from "./support/feed.js";
import { Ledger, whole } from "./support/ledger.js";
import { Link } from "./support/link.js";
import { test } from "./support/test.js";
import { pause, until } from "./support/wait.js";
import { Watched, type Followed } from "./support/watch.js";

/** Waits until a record has all that the ledger says, and judges it. */
async function judge(ledger: Ledger, followed: Followed<number>): Promise<void> {
  const end = performance.now() + 5000;
  while (followed.seen.length < ledger.accepted && performance.now() < end) await pause(10);
  assert.deepEqual(ledger.judge(followed.seen), whole(ledger));
}

test("a connection that breaks ten times loses, doubles and reorders nothing", async (t) => {
  const broker = await Broker.start(t, { workers: 2 });
  const link = await Link.to(t, broker);
  const watched = new Watched(t, link.ws);
  const all = watched.follow(["f/#", "f/+"]);
  const some = watched.follow("f/b");
  await all.subscription.ready;
  const feed = new Feed(t, [broker], ["f/a", "f/b", "f/c"], { everyMs: 1 });
  for (let times = 1; times <= 10; times++) {
    const count = all.seen.length;
    await until(() => all.seen.length > count + 10, "the feed goes on");
    link.drop();
    await until(() => all.recovered.length === times, "it is resumed");
  }
  const ledger = await feed.stop();
  await judge(ledger, all);
  await until(() => some.seen.length === ledger.next("f/b"), "the other handler has its part");
  assert.deepEqual([all.gaps, some.gaps, watched.errors.length > 0], [[], [], true]);
  assert.ok(all.subscribed.slice(1).every(({ recovered, resumed }) => recovered && resumed));
});

test("a broker that is killed and started again has its client back, which knows that it has missed something", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, () => broker);
  const watched = new Watched(t, link.ws);
  const all = watched.follow("f/#");
  await all.subscription.ready;
  const feed = new Feed(t, [broker], ["f/a"], { everyMs: 1, once: true });
  const restarts = 2;
  for (let times = 1; times <= restarts; times++) {
    const count = all.seen.length;
    await until(() => all.seen.length > count + 20, "the feed goes on");
    await broker.kill();
    await until(() => watched.client.state !== "open", "the client notices");
    await broker.restart();
    await until(() => all.subscribed.length === times + 1, "it is subscribed again");
  }
  const from = feed.ledger.next("f/a") + 1;
  await until(() => all.data.at(-1)! > from + 20, "the feed goes on");
  const ledger = await feed.stop();
  const { doubled, reordered, strange } = ledger.judge(all.seen);
  assert.deepEqual({ doubled, reordered, strange }, { doubled: 0, reordered: 0, strange: 0 });
  assert.deepEqual(all.gaps.map(({ reason }) => reason), ["resume", "resume"]);
  assert.equal(all.recovered.length, 0);
  const since = all.data.filter((number) => number >= from);
  assert.deepEqual(since, Array.from({ length: since.length }, (_, n) => from + n));
});

test("a client goes on at the other node of a cluster, and at one that was started again, without a hole", async (t) => {
  const nodes = await startCluster(t);
  let target = nodes[0]!;
  const link = await Link.to(t, () => target);
  const watched = new Watched(t, link.ws);
  const all = watched.follow("f/#");
  await all.subscription.ready;
  const feed = new Feed(t, nodes, ["f/a", "f/b"], { everyMs: 2 });
  const moves = async (from: Broker, to: Broker, times: number): Promise<void> => {
    await until(() => all.seen.length > 50 * times, "the feed goes on");
    target = to;
    await from.kill();
    await until(() => all.recovered.length === times, "it is resumed");
  };
  await moves(nodes[0]!, nodes[1]!, 1);
  await nodes[0]!.restart();
  await nodes[0]!.waitReady();
  await moves(nodes[1]!, nodes[0]!, 2);
  await until(() => all.seen.length > 200, "the feed goes on");
  const ledger = await feed.stop();
  await judge(ledger, all);
  assert.deepEqual(all.gaps, []);
});

for (const way of ["both", "down", "up"] as const) {
  test(`a link that goes silent (${way}) is noticed by missing pings, and left`, async (t) => {
    const broker = await Broker.start(t, { settings: { "limits.ping": 1 } });
    const link = await Link.to(t, broker);
    const watched = new Watched(t, link.ws);
    const all = watched.follow("f");
    await all.subscription.ready;
    const feed = new Feed(t, [broker], ["f"], { everyMs: 5 });
    await until(() => all.seen.length > 20, "the feed goes on");
    const began = performance.now();
    link.stall(way);
    await until(() => watched.client.state !== "open", "the client leaves", 12_000);
    t.diagnostic(`noticed after ${Math.round(performance.now() - began)} ms`);
    link.restore();
    await until(() => all.recovered.length > 0, "it is resumed");
    await judge(await feed.stop(), all);
    assert.deepEqual(all.gaps, []);
  });
}

test("what has a key is accepted once, however often the connection breaks; what has none at most once", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  const observer = new Watched(t, broker.ws).follow("p/#");
  await observer.subscription.ready;
  const { client, states } = new Watched(t, link.ws);
  const breaks = () => states.filter((state) => state === "waiting").length;
  const accepted = { keyed: new Set<number>(), plain: new Set<number>() };
  let lost = 0;
  const publisher = async (): Promise<void> => {
    for (let number = 0; breaks() < 10; number++) {
      // With one of each under way when the connection breaks.
      const keyed = client.publish("p/keyed", number, { key: `k${number}` });
      const plain = client.publish("p/plain", number);
      await plain.then(
        () => accepted.plain.add(number),
        (error) => assert.ok(error instanceof ConnectionLostError && ++lost, String(error)),
      );
      await keyed;
      accepted.keyed.add(number);
    }
  };
  const running = publisher();
  for (let times = 1; times <= 10; times++) {
    const size = accepted.keyed.size;
    await until(() => accepted.keyed.size > size + 20, "publishing goes on");
    link.drop();
    await until(() => breaks() === times, "the client notices");
  }
  await running;
  const numbers = (topic: string) => observer.seen.filter(([name]) => name === topic).map(([, n]) => n);
  const { size } = accepted.keyed;
  await until(() => numbers("p/keyed").length >= size, "all are seen");
  assert.deepEqual(numbers("p/keyed").sort((a, b) => a - b), Array.from({ length: size }, (_, n) => n));
  const plain = numbers("p/plain");
  assert.equal(new Set(plain).size, plain.length);
  assert.deepEqual([...accepted.plain].filter((number) => !plain.includes(number)), []);
  t.diagnostic(`${size} with a key; of as many without one ${lost} in doubt`);
});
