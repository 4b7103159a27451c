/** The Watch page in Chromium: any filter, live and from the past, held, searched, cut off, and in a flood. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { CDPSession, Page } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import { Link } from "../js/support/link.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { pause, until } from "../js/support/wait.js";
import { accessibleEverywhere } from "./support/axe.js";
import { PHONE, picture } from "./support/chromium.js";
import { codeOf, openPage, rowElements, rowTexts, shell, shellUntil } from "./support/console.js";

const row = (page: Page, text: string) => page.locator(".rows .row:visible", { hasText: text });
const data = (page: Page, text: string) => page.locator(".rows .row-data:visible").getByText(text, { exact: true });
const details = (page: Page) => page.getByRole("complementary", { name: "The selected message" });
const subscribed = (page: Page) => page.getByText("Nothing has been published since").waitFor();

async function figure(page: Page, name: string): Promise<number> {
  const text = await page.locator(`[data-figure="${name}"]`).innerText();
  return Number(text.replaceAll(",", ""));
}

test("a filter is typed, and what matches is listed as it comes", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openPage(t, broker.http, "#/watch");
  await page.getByLabel("Filter", { exact: true }).fill("sensors/+/temp");
  await page.keyboard.press("Enter");
  await subscribed(page);
  assert.equal(new URL(page.url()).hash, "#/watch?filter=sensors%2F%2B%2Ftemp");
  await broker.publish([
    { topic: "sensors/attic/temp", data: { celsius: 21.5 } },
    { topic: "sensors/attic/humidity", data: 1 },
    { topic: "sensors/cellar/temp", data: "cold" },
  ]);
  await row(page, "cellar").waitFor();
  assert.deepEqual(await rowTexts(page, ".row-data"), ['{"celsius":21.5}', '"cold"']);
  const marks = await page.locator(".rows .row:visible mark").allInnerTexts();
  assert.deepEqual(marks.sort(), ["attic", "cellar"], "what the wildcard stood for is marked");
  assert.deepEqual(errors, []);
});

test("a filter that is none is told, and nothing is asked of the broker", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/watch");
  await page.getByLabel("Filter", { exact: true }).fill("a#");
  await page.getByRole("button", { name: "Watch", exact: true }).click();
  await page.locator("#filter-error").getByText("“#” may only be").waitFor();
  assert.equal(new URL(page.url()).hash, "#/watch");
});

test("it begins with the latest, or after a position, as the address says", async (t) => {
  const broker = await Broker.start(t);
  const many = Array.from({ length: 10 }, (_, n) => ({ topic: `t/${n % 2}`, data: n }));
  const positions = await broker.publish(many);
  const { page } = await openPage(t, broker.http, "#/watch?filter=t/%23&last=2");
  await data(page, "9").waitFor();
  assert.deepEqual(await rowTexts(page, ".row-data"), ["6", "7", "8", "9"]);
  await page.getByLabel("Begin with").selectOption("since");
  await page.getByLabel("Position").fill("nonsense");
  await page.keyboard.press("Enter");
  await page.locator("#since-error").getByText("is no position").waitFor();
  await page.getByLabel("Position").fill(positions[7]!);
  await page.keyboard.press("Enter");
  await row(page, "nothing is missing").waitFor();
  await data(page, "9").waitFor();
  assert.deepEqual((await rowTexts(page, ".row-data")).slice(-2), ["8", "9"]);
});

test("a message is opened: JSON indented, bytes as hex, and copied", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/watch?filter=%23");
  await subscribed(page);
  const [pos] = await broker.publish([{ topic: "a/b", data: { n: [1, "x"], ok: true } }]);
  await broker.post("/v1/publish", { topic: "raw", b64: Buffer.from("Hello\0\xff", "latin1").toString("base64") });
  await row(page, "raw").waitFor();
  await row(page, "a/b").click();
  await details(page).getByText(pos!).waitFor();
  const indented = JSON.stringify({ n: [1, "x"], ok: true }, null, 2);
  assert.equal(await details(page).locator("pre").innerText(), indented);
  await details(page).getByRole("button", { name: "Copy", exact: true }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), indented);
  await row(page, "raw").click();
  await details(page).getByText("7 bytes").waitFor();
  const dump = await details(page).locator("pre").innerText();
  assert.match(dump, /^0000 {2}48 65 6c 6c 6f 00 ff +Hello··$/);
  await page.keyboard.press("Escape");
  await details(page).waitFor({ state: "detached" });
});

test("what is strange in topics and data is shown as it is, and nothing of it runs", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openPage(t, broker.http, "#/watch?filter=x/%23");
  await subscribed(page);
  const html = "<img src=x onerror=alert(1)>";
  const list = Array.from({ length: 5000 }, (_, i) => ({ i }));
  await broker.publish([
    { topic: `x/${html}`, data: html },
    { topic: "x/  two  spaces", data: "a\u202eb" },
    { topic: "x/" + "long".repeat(60), data: "y".repeat(60_000) },
    { topic: "x/list", data: list },
  ]);
  await row(page, "x/list").click();
  assert.equal(await details(page).locator("pre").innerText(), JSON.stringify(list, null, 2));
  assert.deepEqual((await rowTexts(page, ".row-topic")).slice(0, 2), [`x/${html}`, "x/  two  spaces"]);
  assert.equal((await rowTexts(page, ".row-data"))[1], '"a\\u202eb"');
  await accessibleEverywhere(page);
  assert.deepEqual(errors, []);
});

test("while it is paused it counts, and then goes on where it was", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/watch?filter=%23");
  await subscribed(page);
  await broker.publish([{ topic: "t", data: "before" }]);
  await row(page, "before").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await broker.publish(Array.from({ length: 25 }, (_, n) => ({ topic: "t", data: `n${n}` })));
  await page.getByText("25 new rows").waitFor();
  assert.equal(await figure(page, "received"), 26);
  assert.deepEqual(await rowTexts(page, ".row-data"), ['"before"']);
  await page.getByRole("button", { name: "Go on" }).last().click();
  await row(page, "n24").waitFor();
  assert.equal((await rowTexts(page)).length >= 20, true);
});

test("who scrolls back reads in peace, and goes on at the end", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/watch?filter=%23");
  await subscribed(page);
  await broker.publish(Array.from({ length: 500 }, (_, n) => ({ topic: "t", data: `n${n}` })));
  await row(page, "n499").waitFor();
  await page.locator(".rows").hover();
  await page.mouse.wheel(0, -3000);
  await page.getByText("Held while you read").waitFor();
  const before = await rowTexts(page, ".row-data");
  await broker.publish(Array.from({ length: 10 }, (_, n) => ({ topic: "t", data: `later${n}` })));
  await page.getByText("10 new rows").waitFor();
  assert.deepEqual(await rowTexts(page, ".row-data"), before);
  await page.mouse.wheel(0, 20_000);
  await row(page, "later9").waitFor();
  await page.getByText("new rows").waitFor({ state: "detached" });
});

test("the list is read by keys", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/watch?filter=%23");
  await subscribed(page);
  await broker.publish(Array.from({ length: 200 }, (_, n) => ({ topic: "t", data: `n${n}.` })));
  await row(page, "n199.").waitFor();
  const list = page.getByRole("listbox");
  await list.focus();
  await page.keyboard.press("ArrowUp");
  await details(page).getByText("n199.").waitFor();
  await page.keyboard.press("ArrowUp");
  await details(page).getByText("n198.").waitFor();
  await page.keyboard.press("Home");
  await details(page).getByText('"n0."').waitFor();
  await row(page, "n0.").waitFor();
  const active = await list.getAttribute("aria-activedescendant");
  assert.match(await page.locator(`#${active}`).innerText(), /n0\./);
  assert.equal(await page.locator(`#${active}`).getAttribute("aria-selected"), "true");
});

test("a text filter leaves what has it, and gaps", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/watch?filter=%23");
  await subscribed(page);
  await broker.publish(Array.from({ length: 300 }, (_, n) => ({ topic: `t/${n}`, data: { even: n % 2 === 0 } })));
  await row(page, "t/299").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("T/29");
  await until(async () => (await rowTexts(page)).length === 11, "11 rows have it");
  await broker.publish([
    { topic: "x", data: "at/29x" },
    { topic: "x", data: "other" },
  ]);
  await row(page, "at/29x").waitFor();
  assert.equal(await row(page, "other").count(), 0);
});

test("a break and what is missing after it are rows among the messages", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  const { page } = await openPage(t, `http://127.0.0.1:${link.port}`, "#/watch?filter=%23");
  await subscribed(page);
  await broker.publish([{ topic: "t", data: "first" }]);
  await row(page, "first").waitFor();
  link.cut();
  await row(page, "the connection is lost").waitFor();
  await broker.publish([{ topic: "t", data: "meanwhile" }]);
  link.restore();
  await row(page, "nothing is missing").waitFor();
  await row(page, "meanwhile").waitFor();
  await broker.kill();
  await broker.restart();
  await row(page, "may be missing").waitFor();
  await broker.publish([{ topic: "t", data: "another life" }]);
  await row(page, "another life").waitFor();
  const kinds = await page.$$eval(".rows .row:not([hidden])", (rows) => rows.map((each) => each.classList[1]));
  assert.ok(kinds.includes("gap") && kinds.includes("break"), kinds.join());
  assert.equal(await row(page, "first").count(), 1, "nothing comes twice");
});

test("what may not be read is said in the broker's words", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const mine = token({ sub: "ann", fantail: { sub: ["mine/#"] } });
  const { page } = await openPage(t, broker.http, "#/watch?filter=theirs/%23", { token: mine });
  await page
    .getByRole("alert")
    .getByText(/403: .*theirs\/#/)
    .waitFor();
});

test("the code that is copied watches the same", async (t) => {
  const broker = await Broker.start(t);
  await broker.publish([{ topic: "it's/a", data: "here" }]);
  const filter = encodeURIComponent("it's/+");
  const { page } = await openPage(t, broker.http, `#/watch?filter=${filter}&last=1`);
  await row(page, "here").waitFor();
  await page.getByRole("button", { name: "As code" }).click();
  assert.equal(shell(`${await codeOf(page, "fantail")} -C 1`), "it's/a here\n");
  await shellUntil(await codeOf(page, "curl"), '"data":"here"');
  assert.match(await codeOf(page, "JavaScript"), /fan\.subscribe\("it's\/\+", \{ last: 1 \}\)/);
});

/** Publishes so many a second until it is stopped; returns how many there were. */
function flood(t: TestContext, broker: Broker, rate: number): { stop: () => Promise<number> } {
  let running = true;
  let sent = 0;
  const begun = performance.now();
  const going = (async () => {
    while (running) {
      const due = Math.floor(((performance.now() - begun) * rate) / 1000) - sent;
      const batch = Array.from({ length: Math.min(due, 500) }, () => {
        const n = sent++;
        return { topic: `flood/${n % 200}/temp`, data: { n, celsius: 21.5, at: "attic", ok: true } };
      });
      if (batch.length > 0) await broker.publish(batch);
      else await pause(2);
    }
  })();
  const stop = async () => {
    running = false;
    await going;
    return sent;
  };
  t.after(stop);
  return { stop };
}

/** Seconds of processor time that the page's main thread has used. */
async function taskSeconds(session: CDPSession): Promise<number> {
  const { metrics } = await session.send("Performance.getMetrics");
  return metrics.find((metric) => metric.name === "TaskDuration")!.value;
}

const FLOOD_ROWS = 45_000;

test("5,000 messages a second cost little, however many came", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openPage(t, broker.http, "#/watch?filter=flood/%23");
  await subscribed(page);
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const before = await taskSeconds(session);
  const feed = flood(t, broker, 5000);
  // As text: what the loader of these tests makes of a function does not run in a page.
  const frames = page.evaluate<number>(`new Promise((done) => {
    let count = 0;
    const received = () => Number(document.querySelector('[data-figure="received"]').textContent.replaceAll(",", ""));
    const next = () => ((count += 1), received() >= ${FLOOD_ROWS} ? done(count) : requestAnimationFrame(next));
    next();
  })`);
  const begun = performance.now();
  const count = await frames;
  const seconds = (performance.now() - begun) / 1000;
  const sent = await feed.stop();
  await until(async () => (await figure(page, "received")) === sent, "each one is counted, once");
  const used = (await taskSeconds(session)) - before;
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  t.diagnostic(`${Math.round(sent / seconds)} messages and ${Math.round(count / seconds)} frames a second`);
  t.diagnostic(`${Math.round((used * 1e6) / sent)} us of processor time a message`);
  t.diagnostic(`${Math.round(usedSize / 1e6)} MB of heap`);
  assert.ok((await rowElements(page)) < 60, "rows are used again");
  assert.equal(await page.locator('[data-figure="kept"]').innerText(), "20\u00a0k");
  assert.ok(usedSize < 64e6, `${usedSize} bytes of heap`);
  // Sixty frames and 5,000 messages a second must fit into one, whatever this machine made of them.
  assert.ok(used < sent * 60e-6 + count * 10e-3, `${used} s for ${sent} messages and ${count} frames`);
  assert.deepEqual(errors, []);
});

test("the page is accessible, empty and full, on a desk and on a phone", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openPage(t, broker.http, "#/watch");
  await page.getByText("Nothing is watched yet").waitFor();
  await accessibleEverywhere(page);
  await page.goto(`${broker.http}/#/watch?filter=sensors/%2B/temp`);
  await subscribed(page);
  await accessibleEverywhere(page);
  const rooms = ["attic", "cellar", "lobby", "lab"];
  await broker.publish(
    Array.from({ length: 120 }, (_, n) => ({ topic: `sensors/${rooms[n % 4]}/temp`, data: { n, celsius: 21.5 } })),
  );
  await row(page, "119").click();
  await accessibleEverywhere(page);
  await picture(page, "console_watch");
  await page.setViewportSize(PHONE);
  await page.waitForFunction(() => document.querySelector(".row.selected")!.getBoundingClientRect().top > 0);
  await picture(page, "console_watch_phone");
  await page.getByRole("button", { name: "As code" }).last().click();
  await accessibleEverywhere(page);
  assert.deepEqual(errors, []);
});
