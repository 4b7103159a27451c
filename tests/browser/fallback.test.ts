/** A browser behind a proxy that lets no WebSocket through, until it does. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import type { Client, connect } from "../../clients/js/src/index.js";
import { Broker } from "../js/support/broker.js";
import { Feed } from "../js/support/feed.js";
import { Gate } from "../js/support/gate.js";
import { whole } from "../js/support/ledger.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { until } from "../js/support/wait.js";
import { profile, visit } from "./support/chromium.js";
import { Site } from "./support/site.js";

declare global {
  interface Window {
    followed: { client: Client; seen: [string, number][]; gaps: unknown[] };
  }
}

const ADMIN = token({ fantail: { admin: true } });
const FEEDER = token({ sub: "feeder", fantail: { pub: ["t/#"] } });

/** A page of another origin than the broker's, with a token. */
async function start(t: TestContext) {
  const site = await Site.start(t);
  const broker = await Broker.start(t, { settings: { ...TOKEN_SETTINGS, "http.origins": site.origin } });
  const gate = await Gate.to(t, broker);
  const context = await profile(t);
  await context.addInitScript("globalThis.__name = (named) => named"); // the loader's mark on functions
  return { site, broker, gate, context };
}

async function follow(page: Page, url: string, shared: boolean): Promise<void> {
  const given = token({ sub: "ann", fantail: { sub: ["t/#"], pub: ["t/#"] } });
  await page.evaluate(
    async ({ url, given, shared }) => {
      const name = "fantail";
      const fantail = (await import(name)) as { connect: typeof connect };
      const client = fantail.connect(url, { shared, getToken: () => given, backoff: { min: 10, max: 100 } });
      const fan: Window["followed"] = { client, seen: [], gaps: [] };
      window.followed = fan;
      await client.subscribe("t/#", {
        onMessage: ({ topic, data }) => void fan.seen.push([topic, data as number]),
        onGap: (gap) => void fan.gaps.push(gap),
      }).ready;
    },
    { url, given, shared },
  );
}

async function hears(page: Page, more: number): Promise<void> {
  const count = await page.evaluate(() => window.followed.seen.length);
  await page.waitForFunction((least) => window.followed.seen.length >= least, count + more);
}

test("a page comes by events, publishes, and is back on a WebSocket when the network changes", async (t) => {
  const { site, broker, gate, context } = await start(t);
  const { page } = await visit(t, site.origin, { context });
  await follow(page, gate.ws, false);
  assert.deepEqual((await broker.stats(ADMIN)).sessions, { json: 0, msgpack: 0, events: 1 });
  const feed = new Feed(t, [broker], ["t/1", "t/2"], { token: FEEDER });
  await hears(page, 40);
  gate.drop();
  await hears(page, 40);
  gate.lets = true;
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await until(async () => (await broker.stats(ADMIN)).sessions.json === 1, "it is there by WebSocket");
  await until(async () => (await broker.stats(ADMIN)).sessions.events === 0, "and not by events");
  await hears(page, 40);
  const ledger = await feed.stop();
  const { pos } = await page.evaluate(() => window.followed.client.publish("t/3", 0));
  assert.ok(pos);
  ledger.accept("t/3");
  await page.waitForFunction((count) => window.followed.seen.length >= count, ledger.accepted);
  const { seen, gaps } = await page.evaluate(() => ({ seen: window.followed.seen, gaps: window.followed.gaps }));
  assert.deepEqual([ledger.judge(seen), gaps], [whole(ledger), []]);
});

test("tabs that share come by one event stream", async (t) => {
  const { site, broker, gate, context } = await start(t);
  const pages = [];
  for (let n = 0; n < 2; n++) {
    const { page } = await visit(t, site.origin, { context });
    await follow(page, gate.ws, true);
    pages.push(page);
  }
  // A new filter looks back on a stream of its own.
  await until(async () => (await broker.stats(ADMIN)).sessions.events === 1, "one stream");
  await pages[0]!.evaluate(() => window.followed.client.publish("t/1", 7));
  for (const page of pages) {
    await page.waitForFunction(() => window.followed.seen.length > 0);
    assert.deepEqual(await page.evaluate(() => window.followed.seen), [["t/1", 7]]);
  }
});
