/**
 * Tabs of one browser with one connection, by a SharedWorker and by a Web Lock where there is none: what the broker
 * counts, what a ledger says when those that came first go, and whose tokens keep the session.
 */
import assert from "node:assert/strict";
import { Broker } from "../js/support/broker.js";
import type { Scope } from "../js/support/cleanup.js";
import { Feed } from "../js/support/feed.js";
import { test } from "../js/support/test.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { until } from "../js/support/wait.js";
import { profile } from "./support/chromium.js";
import { Site } from "./support/site.js";
import { sessions, Tab } from "./support/tab.js";

const WAYS = [
  ["a SharedWorker", ""],
  ["a Web Lock", "delete globalThis.SharedWorker"],
] as const;

/** Tabs of one profile, and a broker. */
async function tabs(scope: Scope, script: string, count: number, settings: Record<string, string> = {}) {
  const site = await Site.start(scope);
  const broker = await Broker.start(scope, { settings: { "http.origins": site.origin, ...settings } });
  const context = await profile(scope);
  if (script) await context.addInitScript(script);
  const all: Tab[] = [];
  for (let n = 0; n < count; n++) all.push(await Tab.open(scope, site, context));
  return { broker, all };
}

for (const [way, script] of WAYS) {
  test(`by ${way}, tabs that stay miss nothing when the one that came first is closed`, async (t) => {
    const { broker, all } = await tabs(t, script, 3);
    for (const tab of all) {
      await tab.connect(broker.ws, { shared: true });
      await tab.follow("f/#");
    }
    assert.equal(await sessions(broker), 1);
    const feed = new Feed(t, [broker], ["f/a", "f/b"], { everyMs: 5 });
    for (const tab of all.slice(0, 2)) {
      await tab.has(40);
      await tab.page.close();
      await until(() => feed.ledger.accepted > 60, "the feed goes on");
    }
    const last = all[2]!;
    await last.isIn("open");
    await until(() => feed.ledger.accepted > 150, "the feed goes on");
    assert.deepEqual(...(await last.judge(await feed.stop())));
    assert.deepEqual((await last.record()).gaps, []);
    assert.equal(await sessions(broker), 1);
    await last.page.close();
    await until(async () => (await sessions(broker)) === 0, "the last one takes the session with it");
  });

  test(`by ${way}, tabs give the tokens that their session needs`, async (t) => {
    const settings = { ...TOKEN_SETTINGS, "auth.leeway": "0s", "auth.anonymous_pub": "f" };
    const { broker, all } = await tabs(t, script, 2, settings);
    const claims = { sub: "ann", fantail: { sub: ["#"], admin: true } };
    let asked = 0;
    for (const tab of all) {
      await tab.page.exposeFunction("freshToken", () => ++asked && token(claims, { expiresIn: 2 }));
      await tab.connect(broker.ws, { shared: true, getToken: "freshToken" });
      await tab.follow("f");
    }
    const feed = new Feed(t, [broker], ["f"], { everyMs: 20 });
    const before = asked;
    await until(() => asked >= before + 3, "fresh tokens");
    const ledger = await feed.stop();
    for (const tab of all) assert.deepEqual(...(await tab.judge(ledger)));
    const { sessions_opened } = await broker.stats(token(claims));
    assert.equal(sessions_opened.json, 1);
  });
}
