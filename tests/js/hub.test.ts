/** One connection for several tabs, without a browser: ports are those of Node's MessageChannel. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { FantailClient } from "../../clients/js/src/client.js";
import { Hubs } from "../../clients/js/src/hub.js";
import { json } from "../../clients/js/src/json.js";
import { portOf } from "../../clients/js/src/port.js";
import { openPort } from "../../clients/js/src/shared-port.js";
import type { OpenTransport } from "../../clients/js/src/transport.js";
import type { ConnectOptions, Gap, Message, SubscribeOptions } from "../../clients/js/src/types.js";
import { openWebSocket } from "../../clients/js/src/websocket.js";
import { Broker } from "./support/broker.js";
import { atEnd } from "./support/cleanup.js";
import { Feed } from "./support/feed.js";
import { whole } from "./support/ledger.js";
import { Link } from "./support/link.js";
import { token, TOKEN_SETTINGS } from "./support/tokens.js";
import { until } from "./support/wait.js";

/** A place where tabs share: what a SharedWorker is. */
class Place {
  readonly hubs = new Hubs(() => openWebSocket, () => Promise.resolve(json), undefined);

  open: OpenTransport = ({ url, token: given, codec }, handlers) => {
    const { port1, port2 } = new MessageChannel();
    this.hubs.accept(portOf(port1 as unknown as MessagePort));
    const hello = {
      url: url.href, token: given, codec: codec.subprotocol, transports: undefined, lock: undefined,
    };
    return openPort(portOf(port2 as unknown as MessagePort), hello, handlers);
  };
}

class Tab {
  readonly client: FantailClient;
  readonly seen: Message[] = [];
  readonly gaps: Gap[] = [];

  constructor(t: TestContext, place: Place, at: { ws: string }, options: ConnectOptions = {}) {
    this.client = new FantailClient(new URL(at.ws), { backoff: { min: 5, max: 100 }, ...options });
    (this.client as unknown as { open_: OpenTransport }).open_ = place.open;
    atEnd(t, () => this.client.close());
  }

  async follow(filters: string | string[], options: SubscribeOptions = {}) {
    const sub = this.client.subscribe(filters, {
      ...options,
      onMessage: (message) => void this.seen.push(message),
      onGap: (gap) => void this.gaps.push(gap),
    });
    await sub.ready;
    return sub;
  }

  get data(): unknown[] {
    return this.seen.map(({ data }) => data);
  }

  numbers(): (readonly [string, number])[] {
    return this.seen.map(({ topic, data }) => [topic, data as number] as const);
  }
}

async function tabs(t: TestContext, count: number, options: ConnectOptions = {}) {
  const broker = await Broker.start(t);
  const link = await Link.to(t, () => broker);
  const place = new Place();
  const all = Array.from({ length: count }, () => new Tab(t, place, link, options));
  return { broker, link, place, all };
}

test("tabs share one connection, and each gets what is its own", async (t) => {
  const { broker, link, all } = await tabs(t, 3);
  const [a, b, c] = all as [Tab, Tab, Tab];
  await Promise.all([a.follow("x/#"), b.follow(["x/1", "x/+"]), c.follow("y")]);
  const { pos } = await a.client.publish("x/1", "one");
  await b.client.publish("y", "two");
  await until(() => a.seen.length && b.seen.length && c.seen.length, "all have theirs");
  assert.deepEqual([a.data, b.data, c.data], [["one"], ["one"], ["two"]]);
  assert.equal(a.seen[0]!.pos, pos);
  const { connections, sessions } = await broker.stats();
  assert.deepEqual([sessions.json, link.accepted, connections >= 1], [1, 1, true]);
});

test("what a tab looks back on is for it alone", async (t) => {
  const { broker, all } = await tabs(t, 3);
  const [a, b, c] = all as [Tab, Tab, Tab];
  await broker.publish([1, 2, 3].map((data) => ({ topic: "p/a", data })));
  await broker.publish({ topic: "p/kept", data: "kept", retain: true });
  await a.follow("p/#");
  await until(() => a.seen.length === 1, "the last value");
  await b.follow("p/#", { last: 2 });
  await until(() => b.seen.length === 3, "two and the last value");
  await c.follow("p/kept");
  await until(() => c.seen.length === 1, "the last value");
  await broker.publish({ topic: "p/a", data: 4 });
  await until(() => [a, b].every(({ data }) => data.includes(4)), "what is new");
  assert.deepEqual([a.data, b.data, c.data], [["kept", 4], [2, 3, "kept", 4], ["kept"]]);
});

test("tabs that look back at the same time do not take it from each other", async (t) => {
  const { broker, all } = await tabs(t, 5);
  await broker.publish(Array.from({ length: 40 }, (_, data) => ({ topic: `q/${data % 2}`, data })));
  await Promise.all(all.map((tab, n) => tab.follow(n % 2 ? "q/#" : "q/+", { last: n + 1 })));
  await broker.publish({ topic: "q/0", data: 40 });
  await until(() => all.every(({ data }) => data.includes(40)), "what is new");
  for (const [n, { data }] of all.entries()) {
    assert.deepEqual(data, Array.from({ length: 2 * (n + 1) + 1 }, (_, i) => 40 - 2 * (n + 1) + i));
  }
});

test("one that resumes gets what it missed, and the others nothing again", async (t) => {
  const { broker, all } = await tabs(t, 3);
  const [a, b, c] = all as [Tab, Tab, Tab];
  const poses = await broker.publish(Array.from({ length: 30 }, (_, data) => ({ topic: `r/${data % 3}`, data })));
  await a.follow("r/#");
  await broker.publish({ topic: "r/0", data: 30 });
  await until(() => a.seen.length === 1, "the first");
  const [sub] = await Promise.all([
    b.follow("r/1", { since: [poses[20]!] }),
    c.follow(["r/+", "other"], { since: [poses[4]!] }),
  ]);
  assert.deepEqual(await sub.ready, { resumed: false, recovered: true });
  await broker.publish({ topic: "r/1", data: 31 });
  await until(() => all.every(({ data }) => data.includes(31)), "what is new");
  assert.deepEqual(a.data, [30, 31]);
  assert.deepEqual(b.data, [22, 25, 28, 31]);
  assert.deepEqual(c.data, Array.from({ length: 27 }, (_, n) => n + 5));
  assert.deepEqual([a.gaps, b.gaps, c.gaps], [[], [], []]);
});

test("one that cannot resume is told, and the others hear nothing of it", async (t) => {
  const { broker, all } = await tabs(t, 2);
  const [a, b] = all as [Tab, Tab];
  await a.follow("s");
  const sub = await b.follow("s", { since: ["nobodys.7"] });
  assert.deepEqual(await sub.ready, { resumed: false, recovered: false });
  await broker.publish({ topic: "s", data: 1 });
  await until(() => a.seen.length && b.seen.length, "both have it");
  assert.deepEqual([a.data, b.data, a.gaps], [[1], [1], []]);
});

test("each tab has its own every", async (t) => {
  const { broker, all } = await tabs(t, 3);
  const [a, b, c] = all as [Tab, Tab, Tab];
  await a.follow("e/#", { every: 400 });
  await b.follow("e/1", { every: 100 });
  await c.follow("e/2");
  const numbers = Array.from({ length: 50 }, (_, n) => n);
  await broker.publish(numbers.flatMap((data) => [{ topic: "e/1", data }, { topic: "e/2", data }]));
  await until(() => a.data.filter((n) => n === 49).length === 2 && b.data.at(-1) === 49, "the last ones");
  assert.deepEqual(c.data, numbers);
  assert.deepEqual(b.data, [0, 49]);
  for (const topic of ["e/1", "e/2"]) {
    const some = a.numbers().filter(([name]) => name === topic).map(([, n]) => n);
    assert.ok(some.length <= 2 && some.at(-1) === 49, String(some));
  }
});

test("after a cut all tabs go on where they were", async (t) => {
  const { broker, link, all } = await tabs(t, 4);
  await Promise.all(all.map((tab, n) => tab.follow(n === 3 ? ["k/1", "k/2", "k/3"] : "k/#")));
  const feed = new Feed(t, [broker], ["k/1", "k/2", "k/3"]);
  for (let n = 0; n < 4; n++) {
    const { accepted } = feed.ledger;
    await until(() => feed.ledger.accepted > accepted + 50, "the feed");
    link.cut();
    await until(() => feed.ledger.accepted > accepted + 80, "the feed goes on");
    link.restore();
    await until(() => all.every(({ client }) => client.state === "open"), "all are back");
  }
  const ledger = await feed.stop();
  await until(() => all.every(({ seen }) => seen.length >= ledger.accepted), "everything");
  for (const tab of all) {
    assert.deepEqual(ledger.judge(tab.numbers()), whole(ledger));
    assert.deepEqual(tab.gaps, []);
  }
  assert.equal((await broker.stats()).sessions.json, 1);
});

test("a tab that closes takes only its own filters with it", async (t) => {
  const { broker, all } = await tabs(t, 2);
  const [a, b] = all as [Tab, Tab];
  await a.follow(["z/1", "z/2"]);
  await b.follow(["z/2", "z/3"]);
  await until(async () => (await broker.stats()).subscriptions === 3, "three filters");
  a.client.close();
  await until(async () => (await broker.stats()).subscriptions === 2, "two filters");
  await broker.publish([1, 2, 3].map((n) => ({ topic: `z/${n}`, data: n })));
  await until(() => b.seen.length === 2, "its own");
  b.client.close();
  await until(async () => (await broker.stats()).sessions.json === 0, "nobody is there");
  assert.deepEqual([a.data, b.data], [[], [2, 3]]);
});

test("refusals reach the tab that asked", async (t) => {
  const guarded = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const link = await Link.to(t, guarded);
  const place = new Place();
  const getToken = (): string => token({ sub: "ann", fantail: { sub: ["ok/#"] } });
  const [a, b] = [0, 1].map(() => new Tab(t, place, link, { getToken })) as [Tab, Tab];
  await a.follow("ok/1");
  await assert.rejects(b.follow("no"), { code: 403 });
  await assert.rejects(b.client.publish("ok/1", 1), { code: 403 });
  await b.follow("ok/#");
  assert.equal(link.accepted, 1);
  const other = new Tab(t, place, link, { getToken: () => token({ sub: "bob", fantail: { sub: ["ok/#"] } }) });
  await other.follow("ok/1");
  assert.equal(link.accepted, 2); // somebody else
});

test("tabs come and go, subscribe as they like, and miss nothing", async (t) => {
  const broker = await Broker.start(t);
  const place = new Place();
  const topics = ["m/1", "m/2", "m/3", "m/4"];
  const feed = new Feed(t, [broker], topics);
  const dice = random(7);
  for (let round = 0; round < 8; round++) {
    const some = Array.from({ length: 4 }, () => new Tab(t, place, broker));
    const began = await Promise.all(
      some.map(async (tab) => {
        const filter = ["m/#", "m/+", "m/1", "m/2"][Math.floor(dice() * 4)]!;
        const last = Math.floor(dice() * 4);
        const sub = await tab.follow(filter, last && dice() < 0.5 ? { last } : {});
        return { tab, filter, sub };
      }),
    );
    const { accepted } = feed.ledger;
    await until(() => feed.ledger.accepted > accepted + 60, "the feed");
    await until(() => some.every(({ seen }) => seen.length > 5), "all have some");
    for (const { tab } of began) {
      for (const topic of topics) {
        const numbers = tab.numbers().filter(([name]) => name === topic).map(([, n]) => n);
        const first = numbers[0] ?? 0;
        assert.deepEqual(numbers, numbers.map((_, i) => first + i), `${topic} in round ${round}`);
      }
      if (dice() < 0.7) tab.client.close();
    }
  }
  await feed.stop();
});

/** Numbers from 0 to 1 that are the same each time (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
