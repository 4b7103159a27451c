/** Feeds that are fast, and pages that nobody looks at: what arrives is whole, and the page stays usable. */
import assert from "node:assert/strict";
import type { BrowserContext } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import type { Scope } from "../js/support/cleanup.js";
import { Feed } from "../js/support/feed.js";
import { test } from "../js/support/test.js";
import { until } from "../js/support/wait.js";
import { everyday } from "./support/chromium.js";
import { Site } from "./support/site.js";
import { Tab } from "./support/tab.js";

const RATE = 10_000; // publications a second
const SECONDS = 4;
/** The longest that a machine which cannot publish so fast may take for as many. */
const PATIENCE_S = 10;
/** A person notices a frame that takes longer. */
const FRAME_MS = 250;
/** Of the main thread's time, so that the page has the rest. */
const BUSY = 0.6;

async function fed(scope: Scope, settings: Record<string, string> = {}, context?: BrowserContext) {
  const site = await Site.start(scope);
  const broker = await Broker.start(scope, { settings: { "http.origins": site.origin, ...settings } });
  const tab = await Tab.open(scope, site, context);
  await tab.connect(broker.ws);
  await tab.follow("f/#");
  return { site, broker, tab };
}

interface Frames {
  /** ms from one to the next. */
  frames: number[];
  /** The longest that another thread of the page waited for a processor, beyond what it asked for, ms. */
  waited: number;
}

/** Begins to measure frames, and beside them what a busy machine does to any thread of the page. */
function watchFrames(tab: Tab): Promise<void> {
  return tab.page.evaluate(() => {
    const watched: Frames = { frames: [], waited: 0 };
    (globalThis as unknown as { watched: Frames }).watched = watched;
    let before = performance.now();
    const next = () => {
      const now = performance.now();
      watched.frames.push(now - before);
      before = now;
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
    const script = `let before = performance.now(), longest = 0;
      setInterval(() => {
        const now = performance.now();
        longest = Math.max(longest, now - before - 10);
        before = now;
        postMessage(longest);
      }, 10);`;
    const other = new Worker(URL.createObjectURL(new Blob([script])));
    other.onmessage = ({ data }) => (watched.waited = data);
  });
}

test("a page takes 10,000 messages a second whole, and its frames keep coming", async (t) => {
  const { broker, tab } = await fed(t);
  const protocol = await tab.page.context().newCDPSession(tab.page);
  await protocol.send("Performance.enable", { timeDomain: "threadTicks" });
  const busy = async () => {
    const { metrics } = await protocol.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")!.value;
  };
  await watchFrames(tab);
  const [began, busyBefore] = [performance.now(), await busy()];
  const feed = new Feed(t, [broker], ["f/a", "f/b"], { batch: 200, everyMs: (1000 * 200) / RATE });
  const isDone = () => feed.ledger.accepted >= RATE * SECONDS || performance.now() > began + 1000 * PATIENCE_S;
  await until(isDone, "so many are published");
  const ledger = await feed.stop();
  const [seconds, spent] = [(performance.now() - began) / 1000, (await busy()) - busyBefore];
  const { frames, waited } = await tab.page.evaluate(() => (globalThis as unknown as { watched: Frames }).watched);
  assert.deepEqual(...(await tab.judge(ledger)));
  assert.deepEqual((await tab.record()).gaps, []);
  const longest = Math.max(...frames);
  const round = Math.round;
  t.diagnostic(
    `${round(ledger.accepted / seconds)} messages a second; the main thread was busy ${round((100 * spent) / seconds)} % of the time; `
      + `${round(frames.length / seconds)} frames a second, the longest ${round(longest)} ms (another thread waited ${round(waited)} ms)`,
  );
  assert.ok(spent < BUSY * seconds, `busy for ${spent} of ${seconds} s`);
  assert.ok(longest < FRAME_MS + 3 * waited, `a frame of ${longest} ms, while another thread waited ${waited} ms`);
});

/** Begins to measure how long the page's timers pause, ms. */
function watchPauses(tab: Tab): Promise<void> {
  return tab.page.evaluate(() => {
    let before = performance.now();
    (globalThis as unknown as { longestPause: number }).longestPause = 0;
    setInterval(() => {
      const now = performance.now();
      const watched = globalThis as unknown as { longestPause: number };
      watched.longestPause = Math.max(watched.longestPause, now - before);
      before = now;
    }, 50);
  });
}

function longestPause(tab: Tab): Promise<number> {
  return tab.page.evaluate(() => (globalThis as unknown as { longestPause: number }).longestPause);
}

/** A tab that is fed, behind another one, in a browser that slows such down; and what brings it back. */
async function hidden(scope: Scope) {
  const context = await everyday(scope);
  const { site, broker, tab } = await fed(scope, { "limits.ping": "1" }, context);
  await watchPauses(tab);
  const other = await Tab.open(scope, site, context);
  await other.page.bringToFront();
  const sees = (state: string) =>
    tab.page.waitForFunction((state) => document.visibilityState === state, state, { polling: 50 });
  await sees("hidden");
  const back = async () => {
    await tab.page.bringToFront();
    await sees("visible");
  };
  return { broker, tab, back, protocol: await context.newCDPSession(tab.page) };
}

test("a tab behind another one, whose timers are slowed down, misses nothing and keeps its session", async (t) => {
  const { broker, tab, back } = await hidden(t);
  const feed = new Feed(t, [broker], ["f/a", "f/b"], { everyMs: 5 });
  // Beyond two pings, after which the broker gives up a client that does not answer.
  await until(async () => (await longestPause(tab)) > 500 && feed.ledger.accepted > 600, "timers are slow", 30_000);
  await back();
  assert.deepEqual(...(await tab.judge(await feed.stop())));
  assert.deepEqual([(await tab.sessions()).length, (await tab.record()).gaps], [1, []]);
});

test("a tab that is frozen in the background is whole when somebody comes back to it", async (t) => {
  const { broker, tab, back, protocol } = await hidden(t);
  const feed = new Feed(t, [broker], ["f/a", "f/b"], { batch: 10, everyMs: 10 });
  await tab.has(100);
  await protocol.send("Page.setWebLifecycleState", { state: "frozen" });
  const [before, began] = [feed.ledger.accepted, performance.now()];
  const isLong = () => feed.ledger.accepted > before + 2000 && performance.now() - began > 4000;
  await until(isLong, "the feed goes on meanwhile", 30_000);
  await back();
  assert.deepEqual(...(await tab.judge(await feed.stop())));
  assert.deepEqual((await tab.record()).gaps, []);
  assert.ok((await longestPause(tab)) > 3500, "it was not frozen");
});
