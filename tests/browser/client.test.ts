/** The built client in a page: breaks, kills, silence, tokens, other ways to the broker, and reloads. */
import assert from "node:assert/strict";
import { Broker, type BrokerOptions } from "../js/support/broker.js";
import type { Scope } from "../js/support/cleanup.js";
import { startCluster } from "../js/support/cluster.js";
import { Feed } from "../js/support/feed.js";
import { Gate } from "../js/support/gate.js";
import { Link } from "../js/support/link.js";
import { test } from "../js/support/test.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { until } from "../js/support/wait.js";
import { Site } from "./support/site.js";
import { sessions, Tab } from "./support/tab.js";

const ANN = { sub: "ann", fantail: { sub: ["#"], pub: ["#"], admin: true } };

/** Options of a broker that the site's pages may come to. */
function letting(site: Site, settings: BrokerOptions["settings"] = {}): BrokerOptions {
  return { settings: { "http.origins": site.origin, ...settings } };
}

/** A tab, a broker, and a link between them. */
async function linked(scope: Scope, settings: BrokerOptions["settings"] = {}) {
  const site = await Site.start(scope);
  const broker = await Broker.start(scope, letting(site, settings));
  const link = await Link.to(scope, () => broker);
  return { site, broker, link, tab: await Tab.open(scope, site) };
}

for (const msgpack of [false, true]) {
  test(`in a page, ${msgpack ? "MessagePack" : "JSON"} carries values and bytes both ways`, async (t) => {
    const { broker, tab } = await linked(t);
    await tab.connect(broker.ws, { msgpack });
    await tab.follow("v");
    await tab.page.evaluate(async () => {
      for (const value of [null, "é😀", { a: [1.5, -1] }, new Uint8Array([0, 255])]) await probe.client.publish("v", value);
    });
    await tab.has(4);
    const seen = await tab.page.evaluate(() =>
      probe.record().seen.map(([, data]) => (data instanceof Uint8Array ? ["bytes", ...data] : data)),
    );
    assert.deepEqual(seen, [null, "é😀", { a: [1.5, -1] }, ["bytes", 0, 255]]);
    assert.equal((await broker.stats()).sessions[msgpack ? "msgpack" : "json"], 1);
    assert.deepEqual(tab.thrown, []);
  });
}

test("a page whose connection breaks five times has every publication once and in order", async (t) => {
  const { broker, link, tab } = await linked(t);
  await tab.connect(link.ws);
  await tab.follow(["f/#", "f/a"]);
  const feed = new Feed(t, [broker], ["f/a", "f/b"], { everyMs: 4 });
  for (let times = 1; times <= 5; times++) {
    await tab.has(times * 20);
    link.drop();
    await tab.isResumed(times);
  }
  assert.deepEqual(...(await tab.judge(await feed.stop())));
  assert.deepEqual((await tab.record()).gaps, []);
});

test("a page knows that a broker without Redis was killed, and then goes on without a hole", async (t) => {
  const { broker, link, tab } = await linked(t);
  await tab.connect(link.ws);
  await tab.follow("f");
  const feed = new Feed(t, [broker], ["f"], { everyMs: 4, once: true });
  await tab.has(20);
  await broker.kill();
  await tab.leaves("open");
  await broker.restart();
  await until(async () => (await tab.record()).subscribed.length === 2, "it is subscribed again");
  const from = feed.ledger.next("f") + 1;
  await until(async () => Number((await tab.record()).seen.at(-1)?.[1]) > from + 20, "the feed goes on");
  const ledger = await feed.stop();
  const { seen, gaps, recovered } = await tab.record();
  const { doubled, reordered, strange } = ledger.judge(seen as [string, number][]);
  assert.deepEqual({ doubled, reordered, strange }, { doubled: 0, reordered: 0, strange: 0 });
  assert.deepEqual([gaps.map(({ reason }) => reason), recovered], [["resume"], 0]);
  const since = seen.map(([, data]) => data as number).filter((number) => number >= from);
  assert.deepEqual(since, Array.from({ length: since.length }, (_, n) => from + n));
});

test("a page goes on at the other node of a cluster, and back at the first, without a hole", async (t) => {
  const site = await Site.start(t);
  const nodes = await startCluster(t, 2, letting(site));
  let target = nodes[0]!;
  const link = await Link.to(t, () => target);
  const tab = await Tab.open(t, site);
  await tab.connect(link.ws);
  await tab.follow("f/#");
  const feed = new Feed(t, nodes, ["f/a", "f/b"], { everyMs: 4 });
  await tab.has(50);
  target = nodes[1]!;
  await nodes[0]!.kill();
  await tab.isResumed(1);
  await nodes[0]!.restart();
  await nodes[0]!.waitReady();
  target = nodes[0]!;
  await nodes[1]!.kill();
  await tab.isResumed(2);
  await until(() => feed.ledger.accepted > 150, "the feed goes on");
  assert.deepEqual(...(await tab.judge(await feed.stop())));
  assert.deepEqual((await tab.record()).gaps, []);
});

test("a page leaves a link that has gone silent, and is whole afterwards", async (t) => {
  const { broker, link, tab } = await linked(t, { "limits.ping": 1 });
  await tab.connect(link.ws);
  await tab.follow("f");
  const feed = new Feed(t, [broker], ["f"], { everyMs: 10 });
  await tab.has(20);
  link.stall();
  await tab.leaves("open");
  link.restore();
  await tab.isResumed(1);
  assert.deepEqual(...(await tab.judge(await feed.stop())));
});

test("a page's session outlives its tokens, which it asks for in time", async (t) => {
  const { broker, tab } = await linked(t, { ...TOKEN_SETTINGS, "auth.leeway": "0s", "auth.anonymous_pub": "f" });
  let asked = 0;
  await tab.page.exposeFunction("freshToken", () => ++asked && token(ANN, { expiresIn: 1.5 }));
  await tab.connect(broker.ws, { getToken: "freshToken" });
  await tab.follow("f");
  const feed = new Feed(t, [broker], ["f"], { everyMs: 20 });
  await until(() => asked >= 4, "three fresh tokens");
  assert.deepEqual(...(await tab.judge(await feed.stop())));
  assert.equal((await tab.sessions()).length, 1);
});

test("where a proxy refuses upgrades a page has events, publishes by HTTP, and misses nothing in breaks", async (t) => {
  const site = await Site.start(t);
  const broker = await Broker.start(t, letting(site));
  const gate = await Gate.to(t, broker);
  const tab = await Tab.open(t, site);
  await tab.connect(gate.ws);
  await tab.follow("f/#");
  assert.ok(gate.upgrades >= 2);
  assert.equal((await broker.stats()).sessions.events, 1);
  const published = await tab.page.evaluate(() => probe.client.publish("p", { by: "HTTP" }));
  assert.match(published.pos!, /\.\d+$/);
  const feed = new Feed(t, [broker], ["f/a", "f/b"], { everyMs: 4 });
  for (let times = 1; times <= 3; times++) {
    await tab.has(times * 30);
    gate.drop();
    await tab.isResumed(times);
  }
  assert.deepEqual(...(await tab.judge(await feed.stop())));
  assert.deepEqual((await tab.record()).gaps, []);
});

test("a page that is loaded again goes on where it was", async (t) => {
  const { broker, tab } = await linked(t);
  await tab.connect(broker.ws, { persist: "here" });
  await tab.follow("f/#");
  const feed = new Feed(t, [broker], ["f/a", "f/b"], { everyMs: 4 });
  const seen: [string, number][] = [];
  for (let times = 1; times <= 3; times++) {
    await tab.has(50);
    // What the old page has seen when it goes: it says so at the last moment.
    await tab.page.evaluate(() => {
      addEventListener("pagehide", () => sessionStorage.setItem("seen", JSON.stringify(probe.record().seen)));
    });
    await tab.page.reload();
    seen.push(...(await tab.page.evaluate(() => JSON.parse(sessionStorage.getItem("seen")!))));
    await tab.connect(broker.ws, { persist: "here" });
    assert.deepEqual(await tab.follow("f/#"), { recovered: true, resumed: false });
  }
  const ledger = await feed.stop();
  await tab.has(ledger.accepted - seen.length);
  seen.push(...((await tab.record()).seen as [string, number][]));
  const { lost, reordered, doubled } = ledger.judge(seen);
  assert.deepEqual({ lost, reordered, doubled }, { lost: 0, reordered: 0, doubled: 0 });
});

test("a page tries at once when the network is back, or when somebody looks at it again", async (t) => {
  const { link, tab } = await linked(t);
  const patient = { backoff: { min: 600_000, max: 600_000 } };
  link.cut();
  await tab.begin(link.ws, patient);
  await tab.isIn("waiting");
  await tab.page.context().setOffline(true);
  link.restore();
  await tab.page.context().setOffline(false);
  await tab.isIn("open");

  link.cut();
  await tab.isIn("waiting");
  link.restore();
  await tab.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await tab.isIn("open");
});

test("two tabs that do not share have a session each", async (t) => {
  const { site, broker, tab } = await linked(t);
  const other = await Tab.open(t, site, tab.page.context());
  await tab.connect(broker.ws);
  await other.connect(broker.ws);
  assert.equal(await sessions(broker), 2);
});
