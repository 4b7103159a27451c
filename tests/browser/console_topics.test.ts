/** The Topics page in Chromium: a tree that is opened by pointer and keys, searched, and a hundred thousand topics. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { until } from "../js/support/wait.js";
import { accessibleEverywhere } from "./support/axe.js";
import { PHONE, picture } from "./support/chromium.js";
import { openPage, rowElements, rowTexts } from "./support/console.js";

const row = (page: Page, name: string) =>
  page.locator(".rows .row:visible").filter({ has: page.locator(".row-name").getByText(name, { exact: true }) });
const details = (page: Page) => page.getByRole("complementary", { name: "The selected topic" });

/** Waits until these levels are in sight, from the top. */
async function shows(page: Page, names: string[]): Promise<void> {
  let seen: string[] = [];
  await until(
    async () => (seen = await rowTexts(page, ".row-name")).join() === names.join(),
    () => `${names.join()}, not ${seen.join()}`,
  );
}

test("levels open when they are clicked, with rates, counts and last values", async (t) => {
  const broker = await Broker.start(t);
  await broker.publish([
    { topic: "sensors/attic/temp", data: { celsius: 20 } },
    { topic: "sensors/attic/temp", data: { celsius: 21.5 } },
    { topic: "sensors/cellar/temp", data: 4 },
    { topic: "sensors/attic", data: "is a topic, too", retain: true },
    { topic: "alone", data: 1 },
  ]);
  const { page, errors } = await openPage(t, broker.http, "#/topics");
  await shows(page, ["alone", "sensors"]);
  assert.equal(await row(page, "sensors").locator(".row-count").innerText(), "3");
  await row(page, "sensors").click();
  await shows(page, ["alone", "sensors", "attic", "cellar"]);
  await row(page, "attic").locator(".row-data").getByText("is a topic, too").waitFor();
  assert.equal(await row(page, "attic").locator(".row-retained").innerText(), "retained");
  await row(page, "attic").locator(".row-sign").click();
  await shows(page, ["alone", "sensors", "attic", "temp", "cellar"]);
  await until(async () => {
    await broker.publish({ topic: "sensors/attic/temp", data: { celsius: 21.5 } });
    return /\/s$/.test(await row(page, "temp").locator(".row-rate").innerText());
  }, "it has a rate while it is published to");
  await row(page, "temp").click();
  await details(page).locator("pre").getByText('"celsius": 21.5').waitFor();
  await broker.publish({ topic: "sensors/attic/temp", data: { celsius: 22 } });
  await details(page).locator("pre").getByText('"celsius": 22').waitFor();
  assert.deepEqual(errors, []);
});

test("a topic is watched by a click, and by Enter", async (t) => {
  const broker = await Broker.start(t);
  await broker.publish([
    { topic: "a/b", data: "value" },
    { topic: "a/c", data: 1 },
  ]);
  const { page } = await openPage(t, broker.http, "#/topics");
  await row(page, "b").hover();
  await row(page, "b").getByText("Watch").click();
  assert.equal(new URL(page.url()).hash, "#/watch?filter=a%2Fb&last=1");
  await page.locator(".row-data", { hasText: "value" }).waitFor();
  await page.goBack();
  await row(page, "b").waitFor();
  await page.getByRole("tree").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/watch\?filter=a%2F%23/);
});

test("the tree is walked by keys", async (t) => {
  const broker = await Broker.start(t);
  const topics = ["a/x/1", "a/x/2", "a/y", "b"];
  await broker.publish(topics.map((topic) => ({ topic, data: 1 })));
  const { page } = await openPage(t, broker.http, "#/topics");
  await shows(page, ["a", "b"]);
  const press = (...keys: string[]) =>
    keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
  const selected = (name: string) =>
    page.locator(".rows .row.selected .row-name").getByText(name, { exact: true }).waitFor();
  await page.getByRole("tree").focus();
  await press("ArrowDown", "ArrowRight");
  await shows(page, ["a", "x", "y", "b"]);
  assert.equal(await page.locator(".row.selected").getAttribute("aria-expanded"), "true");
  await press("ArrowRight", "ArrowRight");
  await shows(page, ["a", "x", "1", "2", "y", "b"]);
  await press("ArrowDown", "ArrowDown");
  await selected("2");
  await press("ArrowLeft");
  await selected("x");
  await press("ArrowLeft");
  await shows(page, ["a", "x", "y", "b"]);
  await press("End");
  await selected("b");
  await details(page).getByRole("heading", { name: "b", exact: true }).waitFor();
  await press("Escape");
  await details(page).waitFor({ state: "detached" });
});

test("a search finds a part of a name, or what a filter matches", async (t) => {
  const broker = await Broker.start(t);
  const topics = ["sensors/Attic/temp", "sensors/attics", "alerts/door"];
  await broker.publish(topics.map((topic) => ({ topic, data: topic })));
  const { page } = await openPage(t, broker.http, "#/topics");
  await shows(page, ["alerts", "sensors"]);
  await page.keyboard.press("/");
  await page.keyboard.type("attic");
  await shows(page, ["sensors/Attic/temp", "sensors/attics"]);
  await page.getByText("2 topics").waitFor();
  await page.getByRole("searchbox").fill("+/+");
  await shows(page, ["alerts/door", "sensors/attics"]);
  await page.getByRole("searchbox").fill("nowhere");
  await page.getByText("No topic is found").waitFor();
  await page.getByRole("searchbox").fill("");
  await shows(page, ["alerts", "sensors"]);
});

test("a hundred thousand topics are looked through without having them all", async (t) => {
  const broker = await Broker.start(t, { settings: { "journal.topics": 200_000 } });
  for (let first = 0; first < 100_000; first += 1000) {
    await broker.publish(
      Array.from({ length: 1000 }, (_, n) => ({ topic: `many/${String(first + n).padStart(6, "0")}`, data: n })),
    );
  }
  const begun = performance.now();
  const { page, errors } = await openPage(t, broker.http, "#/topics");
  await row(page, "000000").waitFor();
  t.diagnostic(`shown ${Math.round(performance.now() - begun)} ms after it was asked for`);
  assert.equal(await row(page, "many").locator(".row-count").innerText(), "100,000");
  assert.ok((await rowElements(page)) < 60, "rows are used again");
  await page.getByRole("tree").focus();
  for (const name of ["000199", "000399", "000599"]) {
    await until(async () => {
      await page.keyboard.press("End");
      return row(page, name).isVisible();
    }, `the end is ${name}`);
  }
  assert.ok((await rowElements(page)) < 60);
  await page.getByRole("searchbox").fill("99999");
  await row(page, "many/099999").waitFor();
  await page.getByText("1 topic", { exact: true }).waitFor();
  await page.getByRole("searchbox").fill("");
  await page.getByText("Busiest").click();
  await page.getByText("100 k topics").waitFor();
  assert.deepEqual(errors, []);
});

test("who is no admin is told which claim is missing", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const mine = token({ sub: "ann", fantail: { sub: ["#"] } });
  const { page } = await openPage(t, broker.http, "#/topics", { token: mine });
  await page.getByText("Topics are for admins").waitFor();
  await page.getByText('"fantail": {"admin": true}').waitFor();
  await accessibleEverywhere(page);
});

test("an admin who may not read a topic sees where it is, and not what", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const root = token({ sub: "root", fantail: { sub: ["open/#"], pub: ["#"], admin: true } });
  await broker.publish(
    [
      { topic: "open/a", data: "seen" },
      { topic: "secret", data: "hidden" },
    ],
    root,
  );
  const { page } = await openPage(t, broker.http, "#/topics", { token: root });
  await row(page, "secret").click();
  await details(page).getByText("you may not read this topic").waitFor();
  await row(page, "open").click();
  await row(page, "a").locator(".row-data").getByText("seen").waitFor();
});

test("the page is accessible, empty and full, on a desk and on a phone", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openPage(t, broker.http, "#/topics");
  await page.getByText("No topics yet").waitFor();
  await accessibleEverywhere(page);
  const rooms = ["attic", "cellar", "kitchen", "lab", "lobby"];
  const names = ["co2", "humidity", "temp"];
  const topics = rooms.flatMap((room) => names.map((name) => `sensors/${room}/${name}`));
  await broker.publish(topics.map((topic) => ({ topic, data: { value: topic.length } })));
  await row(page, "kitchen").click();
  await row(page, "temp").click();
  await details(page).locator("pre").getByText('"value"').waitFor();
  await accessibleEverywhere(page);
  await picture(page, "console_topics");
  await page.setViewportSize(PHONE);
  await row(page, "temp").waitFor();
  await picture(page, "console_topics_phone");
  assert.deepEqual(errors, []);
});
