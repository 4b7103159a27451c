/** Tabs of one browser that share a connection: by a SharedWorker, and by a lock where there is none. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import type { Client, connect } from "../../clients/js/src/index.js";
import { Broker } from "../js/support/broker.js";
import { Feed } from "../js/support/feed.js";
import { whole } from "../js/support/ledger.js";
import { Link } from "../js/support/link.js";
import { until } from "../js/support/wait.js";
import { profile, visit } from "./support/chromium.js";
import { Site } from "./support/site.js";

/** What a tab keeps. */
interface Tab {
  client: Client;
  seen: [string, unknown][];
  gaps: unknown[];
  errors: string[];
  published: { value: number; result: string }[];
}
declare global {
  interface Window {
    tab: Tab;
  }
}

/** The two ways to share. Without SharedWorker the pages are those of a browser that has none. */
const WAYS = ["SharedWorker", "lock"] as const;
type Way = (typeof WAYS)[number];

async function start(t: TestContext, way: Way) {
  const site = await Site.start(t);
  const broker = await Broker.start(t, { settings: { "http.origins": site.origin } });
  const link = await Link.to(t, () => broker);
  const context = await profile(t);
  await context.addInitScript("globalThis.__name = (named) => named"); // the loader's mark on functions
  if (way === "lock") await context.addInitScript(() => delete (globalThis as { SharedWorker?: unknown }).SharedWorker);
  return { broker, link, context, site };
}

/** Opens a tab that follows a filter; returns when it is subscribed. */
async function open(
  t: TestContext,
  { context, site, link }: { context: BrowserContext; site: Site; link: Link },
  filter: string,
  options: object = {},
): Promise<Page> {
  const { page } = await visit(t, site.origin, { context });
  await page.evaluate(
    async ({ url, filter, options }) => {
      const name = "fantail";
      const fantail = (await import(name)) as { connect: typeof connect };
      const client = fantail.connect(url, { shared: true, backoff: { min: 10, max: 200 } });
      const tab: Tab = { client, seen: [], gaps: [], errors: [], published: [] };
      window.tab = tab;
      client.on("error", (error) => tab.errors.push(String(error)));
      await client.subscribe(filter, {
        ...options,
        onMessage: ({ topic, data }) => void tab.seen.push([topic, data]),
        onGap: (gap) => void tab.gaps.push(gap),
      }).ready;
    },
    { url: link.ws, filter, options },
  );
  return page;
}

const seen = (page: Page): Promise<[string, unknown][]> => page.evaluate(() => window.tab.seen);
const data = async (page: Page): Promise<unknown[]> => (await seen(page)).map(([, value]) => value);
const gaps = (page: Page): Promise<unknown[]> => page.evaluate(() => window.tab.gaps);

async function hears(page: Page, count: number): Promise<void> {
  await page.waitForFunction((least) => window.tab.seen.length >= least, count);
}

for (const way of WAYS) {
  test(`two tabs have one connection, and each what is its own (${way})`, async (t) => {
    const place = await start(t, way);
    const { broker, link } = place;
    await broker.publish([1, 2, 3].map((value) => ({ topic: "a/1", data: value })));
    await broker.publish({ topic: "a/kept", data: "kept", retain: true });
    const first = await open(t, place, "a/#");
    await hears(first, 1);
    const second = await open(t, place, "a/+", { last: 2 });
    await hears(second, 3);
    await second.evaluate(() => window.tab.client.publish("a/2", "new"));
    await hears(first, 2);
    await hears(second, 4);
    assert.deepEqual([await data(first), await data(second)], [["kept", "new"], [2, 3, "kept", "new"]]);
    assert.equal(link.accepted, 1);
    assert.equal((await broker.stats()).sessions.json, 1);
  });

  test(`a tab that is closed is noticed, and the others lose nothing (${way})`, async (t) => {
    const place = await start(t, way);
    const { broker, link } = place;
    const tabs = [await open(t, place, "b/#"), await open(t, place, "b/1"), await open(t, place, "b/+")];
    const feed = new Feed(t, [broker], ["b/1", "b/2"]);
    await Promise.all(tabs.map((page) => hears(page, 50)));
    await tabs[0]!.close(); // where tabs hold the connection it is this one's
    await until(async () => (await broker.stats()).subscriptions === 2, "its filter has gone");
    const last = tabs[2]!;
    await hears(last, (await seen(last)).length + 50);
    await tabs[1]!.close({ runBeforeUnload: false });
    await until(async () => (await broker.stats()).subscriptions === 1, "one is left");
    await hears(last, (await seen(last)).length + 50);
    const ledger = await feed.stop();
    await until(async () => (await seen(last)).length >= ledger.accepted, "everything");
    assert.deepEqual(ledger.judge((await seen(last)) as [string, number][]), whole(ledger));
    assert.deepEqual(await gaps(last), []);
    assert.equal(link.open, 1);
  });

  test(`tabs that crash are noticed, with the connection or without (${way})`, async (t) => {
    const place = await start(t, way);
    const { broker } = place;
    const tabs = [await open(t, place, "g/1"), await open(t, place, "g/2"), await open(t, place, "g/#")];
    const feed = new Feed(t, [broker], ["g/1", "g/2"]);
    const last = tabs[2]!;
    for (const [n, page] of tabs.slice(0, 2).entries()) {
      await hears(last, (await seen(last)).length + 30);
      const crash = (await place.context.newCDPSession(page)).send("Page.crash");
      crash.catch(() => {}); // it has nobody left to answer
      await until(async () => (await broker.stats()).subscriptions === 2 - n, "its filter has gone");
    }
    await hears(last, (await seen(last)).length + 30);
    const ledger = await feed.stop();
    await until(async () => (await seen(last)).length >= ledger.accepted, "everything");
    assert.deepEqual(ledger.judge((await seen(last)) as [string, number][]), whole(ledger));
    assert.deepEqual(await gaps(last), []);
  });

  test(`a cut and a broker that is killed are every tab's (${way})`, async (t) => {
    const place = await start(t, way);
    const { broker, link } = place;
    const tabs = [await open(t, place, "c/#"), await open(t, place, "c/#")];
    const feed = new Feed(t, [broker], ["c/1", "c/2"]);
    for (let n = 1; n <= 2; n++) {
      await Promise.all(tabs.map((page) => hears(page, n * 60)));
      link.cut();
      const { accepted } = feed.ledger;
      await until(() => feed.ledger.accepted > accepted + 30, "the feed goes on");
      link.restore();
    }
    const ledger = await feed.stop();
    for (const page of tabs) {
      await hears(page, ledger.accepted);
      assert.deepEqual(ledger.judge((await seen(page)) as [string, number][]), whole(ledger));
      assert.deepEqual(await gaps(page), []);
    }
    await broker.kill();
    await until(() => tabs[0]!.evaluate(() => window.tab.client.state !== "open"), "the tab knows");
    await broker.restart();
    await Promise.all(tabs.map((page) => page.waitForFunction(() => window.tab.client.state === "open")));
    await Promise.all(tabs.map((page) => page.waitForFunction(() => window.tab.gaps.length === 1)));
    await broker.publish({ topic: "c/1", data: "after" });
    for (const page of tabs) await hears(page, ledger.accepted + 1);
    assert.equal((await broker.stats()).sessions.json, 1);
  });

  test(`what is published while the holder dies is accepted once, or said to be lost (${way})`, async (t) => {
    const place = await start(t, way);
    const { broker } = place;
    const holder = await open(t, place, "none");
    const page = await open(t, place, "d");
    const publish = (keyed: boolean): Promise<void> =>
      page.evaluate((keyed) => {
        const { client, published } = window.tab;
        for (let value = 0; value < 200; value++) {
          client.publish("d", value, keyed ? { key: `k${value}` } : {}).then(
            () => published.push({ value, result: "ok" }),
            (error) => published.push({ value, result: (error as Error).name }),
          );
        }
      }, keyed);
    await publish(true);
    await holder.close();
    await page.waitForFunction(() => window.tab.published.length === 200);
    await hears(page, 200);
    const results = await page.evaluate(() => window.tab.published);
    assert.ok(results.every(({ result }) => result === "ok"), JSON.stringify(results));
    const { body } = await broker.get("/v1/history?topic=d&last=1000");
    const kept = (body as { messages: { data: number }[] }).messages.map((message) => message.data);
    assert.deepEqual(kept.sort((a, b) => a - b), Array.from({ length: 200 }, (_, n) => n));
    assert.deepEqual((await data(page)).sort((a, b) => Number(a) - Number(b)), kept);
  });
}

test("a tab whose script is suspended resumes when it runs again", async (t) => {
  const place = await start(t, "SharedWorker");
  const { broker, link } = place;
  const [quick, slow] = [await open(t, place, "e"), await open(t, place, "e")];
  const debuggee = await place.context.newCDPSession(slow);
  await debuggee.send("Debugger.enable");
  await debuggee.send("Debugger.pause");
  const poke = slow.evaluate(() => window.tab.seen.length).catch(() => 0); // it stops here
  const text = "x".repeat(30_000);
  const numbers = Array.from({ length: 600 }, (_, n) => n);
  for (let n = 0; n < 600; n += 20) {
    await broker.publish(numbers.slice(n, n + 20).map((value) => ({ topic: "e", data: [value, text] })));
  }
  await hears(quick, 600);
  await debuggee.send("Debugger.resume");
  await debuggee.send("Debugger.disable");
  await poke;
  await hears(slow, 600);
  assert.deepEqual((await data(slow)).map((value) => (value as [number])[0]), numbers);
  assert.deepEqual(await gaps(slow), []);
  assert.equal(link.accepted, 1);
});

test("where the worker's script cannot be loaded a tab holds the connection", async (t) => {
  const place = await start(t, "SharedWorker");
  await place.context.route("**/shared-worker.js", (route) => route.abort());
  const tabs = [await open(t, place, "f"), await open(t, place, "f")];
  await place.broker.publish({ topic: "f", data: 1 });
  for (const page of tabs) await hears(page, 1);
  assert.equal((await place.broker.stats()).sessions.json, 1);
});
