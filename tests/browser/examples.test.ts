/** The examples, as a newcomer opens them: each is used, looked at, and gets through what networks do. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import { startCluster } from "../js/support/cluster.js";
import { atEnd } from "../js/support/cleanup.js";
import { Feed } from "../js/support/feed.js";
import { whole } from "../js/support/ledger.js";
import { Link } from "../js/support/link.js";
import { Program, program, ROOT } from "../js/support/programs.js";
import { until } from "../js/support/wait.js";
import { accessibleEverywhere } from "./support/axe.js";
import { DESKTOP, PHONE, picture, visit } from "./support/chromium.js";

interface Chart {
  samples: { at: number; value: number }[];
}
declare global {
  interface Window {
    charts: Map<string, Chart>;
    cursors: Map<string, { x: number; y: number }>;
  }
}

const CONFIG = ["-c", `${ROOT}deploy/demo.conf`];
const MORE_COUNTERS = 400; // of a kernel: this one's has 504

/** A broker as `make run` starts it, with the demo's feed. */
async function demo(t: TestContext): Promise<Broker> {
  const broker = await Broker.start(t, { args: CONFIG });
  const feed = new Program(program("fantail"), ["-s", broker.ws, "demo"]);
  atEnd(t, () => feed.stop());
  await feed.line(/^publishing demo/);
  return broker;
}

function open(page: Page): Promise<unknown> {
  return page.waitForFunction(() => document.getElementById("state")?.textContent === "open");
}

/** A picture of each size, for the README and for people to look at. */
async function pictures(page: Page, name: string): Promise<void> {
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(PHONE);
  await picture(page, `example-${name}-phone`);
  await page.setViewportSize(DESKTOP);
  await picture(page, `example-${name}`);
}

/** What the chart of a topic holds. */
function samples(page: Page, topic: string): Promise<number[]> {
  return page.evaluate((topic) => window.charts.get(topic)?.samples.map((each) => each.value) ?? [], topic);
}

test("the dashboard draws this machine's own figures", async (t) => {
  const broker = await demo(t);
  const { page, errors } = await visit(t, `${broker.http}/examples/dashboard`);
  await page.waitForFunction(() => window.charts.size >= 4 && [...window.charts.values()].every((c) => c.samples.length > 30));
  const drawn = await page.evaluate(() => [...document.querySelectorAll("canvas")].map((canvas) => {
    const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
  }));
  assert.ok(drawn.length >= 4 && drawn.every(Boolean), String(drawn));
  const number = await page.locator("article", { hasText: "memory" }).locator("b").textContent();
  assert.match(number ?? "", /^\d+\.\d$/);
  await accessibleEverywhere(page);
  await pictures(page, "dashboard");
  assert.deepEqual(errors, []);
});

test("a node that is killed in mid-stream leaves no hole in a chart, and nothing twice", async (t) => {
  const nodes = await startCluster(t, 2, { args: CONFIG });
  const link = await Link.to(t, () => nodes[0]!);
  const topic = "demo/host/cpu/total";
  const { page } = await visit(t, `${link.http}/examples/dashboard`);
  await open(page);
  const feed = new Feed(t, [nodes[1]!], [topic], { everyMs: 20, data: (busy_percent) => ({ busy_percent }) });
  await until(async () => (await samples(page, topic)).length > 20, "samples come");
  await nodes[0]!.kill();
  await page.waitForFunction(() => document.getElementById("state")!.textContent !== "open");
  const missed = feed.ledger.accepted;
  await until(() => feed.ledger.accepted > missed + 10, "the other node goes on");
  await nodes[0]!.restart();
  await open(page);
  const { accepted } = await feed.stop();
  await until(async () => (await samples(page, topic)).length >= accepted, "all samples");
  assert.deepEqual(await samples(page, topic), Array.from({ length: accepted }, (_, n) => n));
});

test("nor does a broker that forgets everything when it is killed", async (t) => {
  const broker = await Broker.start(t, { args: CONFIG });
  const link = await Link.to(t, () => broker);
  const topic = "demo/host/cpu/total";
  const { page } = await visit(t, `${link.http}/examples/dashboard`);
  await open(page);
  const data = (busy_percent: number): object => ({ busy_percent });
  const feed = new Feed(t, [broker], [topic], { everyMs: 20, data, once: true });
  await until(async () => (await samples(page, topic)).length > 20, "samples come");
  await broker.kill();
  await page.waitForFunction(() => document.getElementById("state")!.textContent !== "open");
  const before = feed.ledger.accepted;
  await broker.restart();
  await open(page);
  await until(() => feed.ledger.accepted > before + 20, "it is published again");
  const ledger = await feed.stop();
  const seen = async (): Promise<[string, number][]> => (await samples(page, topic)).map((n) => [topic, n]);
  await until(async () => ledger.judge(await seen()).lost === 0, "all samples");
  assert.deepEqual(ledger.judge(await seen()), whole(ledger));
});

test("what two people say in the chat reaches both, once, whatever the network does", async (t) => {
  const broker = await Broker.start(t, { args: CONFIG });
  const link = await Link.to(t, broker);
  const alice = await visit(t, `${broker.http}/examples/chat`);
  const bob = await visit(t, `${link.http}/examples/chat`);
  for (const [{ page }, name] of [[alice, "Alice"], [bob, "Bob"]] as const) {
    await open(page);
    await page.getByLabel("Your name").fill(name);
    await page.keyboard.press("Tab");
  }
  const say = async (page: Page, text: string): Promise<void> => {
    await page.getByLabel("Message").fill(text);
    await page.keyboard.press("Enter");
  };
  const lines = (page: Page): Promise<(string | null)[]> =>
    page.locator("#lines p:not(.late)").evaluateAll((all) => all.map((p) => p.childNodes[1]!.textContent));
  await say(alice.page, "Is the feed up?");
  await bob.page.getByText("Is the feed up?").waitFor();
  link.cut();
  await bob.page.waitForFunction(() => document.getElementById("state")!.textContent !== "open");
  await say(bob.page, "Said without a network");
  await say(alice.page, "You are breaking up");
  link.restore();
  const all = [" Is the feed up?", " You are breaking up", " Said without a network"];
  for (const { page } of [alice, bob]) {
    let seen: (string | null)[] = [];
    await until(async () => (seen = await lines(page)).length >= all.length, () => String(seen));
    assert.deepEqual(await lines(page), all);
    await page.waitForFunction(() => document.getElementById("count")!.textContent === "2");
    await until(async () => String((await page.locator("#here li").allTextContents()).sort()) === "Alice,Bob", "both names");
  }
  const late = await visit(t, `${broker.http}/examples/chat`);
  await late.page.getByText("Said without a network").waitFor();
  assert.deepEqual(await lines(late.page), all);
  await late.page.close();
  await alice.page.waitForFunction(() => document.getElementById("count")!.textContent === "2");
  await accessibleEverywhere(alice.page);
  await pictures(alice.page, "chat");
  assert.deepEqual([...alice.errors, ...late.errors], []);
});

test("the ticker has its five hundred rows at once and draws the newest", async (t) => {
  const broker = await demo(t);
  const { page, errors } = await visit(t, `${broker.http}/examples/ticker`);
  await page.waitForFunction((least) => document.querySelectorAll("li").length > least, MORE_COUNTERS);
  await page.waitForFunction(() => document.querySelectorAll("li .up").length > 5);
  const names = await page.locator("li").evaluateAll((all) => all.map((li) => (li as HTMLElement).dataset.topic!));
  assert.deepEqual(names, [...names].sort().reverse());
  assert.equal(new Set(names).size, names.length);
  const topic = names.find((name) => name.endsWith("/vmstat/pgfault"))!;
  const feed = await broker.publish({ topic, data: { value: 123456, change: 0 } });
  assert.equal(feed.length, 1);
  await page.getByLabel("Find a counter").fill("pgfault");
  const shown = page.locator("li:visible");
  assert.ok((await shown.allTextContents()).every((text) => text.includes("pgfault")));
  await page.getByLabel("at most every").selectOption("100");
  await page.getByLabel("Find a counter").fill("");
  await accessibleEverywhere(page);
  await page.setViewportSize(DESKTOP);
  await page.waitForFunction(() => document.querySelectorAll("li .up").length > 5);
  await pictures(page, "ticker");
  assert.deepEqual(errors, []);
});

test("pointers of two people move on both canvases, and fade when they rest", async (t) => {
  const broker = await Broker.start(t, { args: CONFIG });
  const one = await visit(t, `${broker.http}/examples/cursors`);
  const two = await visit(t, `${broker.http}/examples/cursors`);
  for (const { page } of [one, two]) await open(page);
  const move = async (page: Page, x: number, y: number): Promise<void> => {
    for (let step = 0; step <= 10; step++) await page.mouse.move(x + 10 * step, y + 5 * step);
  };
  await move(one.page, 200, 200);
  await move(two.page, 600, 400);
  for (const { page } of [one, two]) {
    await page.waitForFunction(() => window.cursors.size === 2);
    const places = await page.evaluate(() => [...window.cursors.values()].map(({ x }) => x).sort());
    assert.ok(Math.abs(places[0]! - 300 / DESKTOP.width) < 0.01, String(places));
    assert.ok(Math.abs(places[1]! - 700 / DESKTOP.width) < 0.01, String(places));
  }
  await accessibleEverywhere(one.page);
  await move(one.page, 200, 200);
  await move(two.page, 600, 400);
  await pictures(one.page, "cursors");
  await one.page.waitForFunction(() => window.cursors.size === 0, null, { timeout: 15_000 });
  assert.deepEqual([...one.errors, ...two.errors], []);
});
