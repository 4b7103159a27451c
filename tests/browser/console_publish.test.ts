/** The Publish page in Chromium: typed into, corrected, refused, repeated. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";
import type { Page } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { accessibleEverywhere } from "./support/axe.js";
import { PHONE, picture } from "./support/chromium.js";
import { codeOf, openPage, shell } from "./support/console.js";

interface Kept {
  messages: { topic: string; data?: unknown; b64?: string; pos: string }[];
}

async function history(broker: Broker, topic: string): Promise<Kept["messages"]> {
  const { body } = await broker.get(`/v1/history?topic=${encodeURIComponent(topic)}`);
  return (body as Kept).messages;
}

async function fill(page: Page, topic: string, data: string): Promise<void> {
  await page.getByLabel("Topic", { exact: true }).fill(topic);
  await page.getByLabel("Data", { exact: true }).fill(data);
}

const publishIt = (page: Page) => page.getByRole("button", { name: "Publish", exact: true }).click();

/** What the page says of the latest publication, once the broker has answered. */
async function outcome(page: Page, count = 1): Promise<string> {
  await page
    .locator(".outcomes > li")
    .nth(count - 1)
    .waitFor();
  const verdict = page.locator(".outcomes > li").first().locator(".outcome-verdict");
  await verdict.locator(".badge").waitFor();
  return (await verdict.innerText()).replace(/\s+/g, " ");
}

test("what is typed is published, and its position is shown", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openPage(t, broker.http, "#/publish");
  await fill(page, "sensors/attic", '{"celsius": 21.5}');
  await publishIt(page);
  const said = await outcome(page);
  const [kept] = await history(broker, "sensors/attic");
  assert.deepEqual(kept?.data, { celsius: 21.5 });
  assert.equal(said, `ok accepted ${kept?.pos}`);
  await page.getByRole("button", { name: "Copy the position" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), kept?.pos);
  assert.deepEqual(errors, []);
});

test("what is wrong with JSON is said with line and column, and nothing is published", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/publish");
  await fill(page, "a", '{\n  "celsius": 21.5,\n  "unit": C\n}');
  const note = page.locator("#data-note");
  await note.getByText("Line 3, column 11: “C” is no value").waitFor();
  await publishIt(page);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "data");
  assert.equal(await page.getByLabel("Data", { exact: true }).getAttribute("aria-invalid"), "true");
  assert.deepEqual(await history(broker, "a"), []);
  await page.getByRole("button", { name: "Go there" }).click();
  await page.keyboard.type('"C"');
  await note.getByText("Ctrl and Enter publish").waitFor();
  await page.keyboard.press("Control+Enter");
  await outcome(page);
  assert.deepEqual((await history(broker, "a"))[0]?.data, { celsius: 21.5, unit: "C" });
});

test("a topic that is none is told beside its field", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/publish");
  await fill(page, "a/+", "1");
  await publishIt(page);
  await page.locator("#topic-error").getByText("must not contain “+”").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "topic");
  assert.equal(await page.locator(".outcomes").count(), 0);
});

test("retain, time to live and key are what they are in the protocol", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/publish?topic=kept");
  await page.getByLabel("Data", { exact: true }).fill("1");
  await page.getByLabel("Keep as the last value").check();
  await page.getByLabel("Time to live").fill("600");
  await page.getByLabel("Key", { exact: true }).fill("k1");
  await publishIt(page);
  assert.match(await outcome(page), /^ok accepted \S+$/);
  await page.getByRole("button", { name: /^Publish again/ }).click();
  assert.match(await outcome(page, 2), /^ok duplicate: this key was published before/);
  const { body } = await broker.get("/v1/topics");
  const [row] = (body as { topics: { topic: string; retained: boolean; publications: number }[] }).topics;
  assert.deepEqual([row?.topic, row?.retained, row?.publications], ["kept", true, 1]);
});

test("bytes come from hex and from files", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/publish");
  await page.getByText("Bytes", { exact: true }).click();
  await fill(page, "raw", "ff 0x00 4");
  await page.locator("#data-note").getByText("odd number of digits").waitFor();
  await page.getByLabel("Data", { exact: true }).fill("ff 0x00 41");
  await publishIt(page);
  await outcome(page);
  const bytes = Buffer.from(Array.from({ length: 3000 }, (_, n) => n % 256));
  await page.getByLabel("From a file").setInputFiles({ name: "x.bin", mimeType: "", buffer: bytes });
  await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>("#data")!.value.length > 3000);
  await publishIt(page);
  await outcome(page, 2);
  const kept = (await history(broker, "raw")).map((message) => message.b64);
  assert.deepEqual(kept, ["/wBB", bytes.toString("base64")]);
  const large = Buffer.alloc(70_000);
  await page.getByLabel("From a file").setInputFiles({ name: "y.bin", mimeType: "", buffer: large });
  await page.getByText("y.bin has 70000 bytes; a message has at most 65536").waitFor();
});

test("what the broker refuses is told with its code", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const mine = token({ sub: "ann", fantail: { sub: ["#"], pub: ["mine/#"], admin: false } });
  const { page } = await openPage(t, broker.http, "#/publish", { token: mine });
  await fill(page, "theirs/a", "1");
  await publishIt(page);
  assert.match(await outcome(page), /^error 403: .*theirs\/a/);
  await page.getByRole("button", { name: /^Edit/ }).click();
  await page.getByLabel("Topic", { exact: true }).fill("mine/a");
  await publishIt(page);
  assert.match(await outcome(page, 2), /^ok accepted/);
});

test("the last publications of a tab outlive a reload and can be edited", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/publish");
  for (const n of [1, 2]) {
    await fill(page, `t/${n}`, `{"n": ${n}}`);
    await publishIt(page);
    await outcome(page, n);
  }
  await page.reload();
  const topics = page.locator(".outcomes .row-topic");
  await topics.first().waitFor();
  assert.deepEqual(await topics.allInnerTexts(), ["t/2", "t/1"]);
  await page.getByRole("button", { name: /^Edit: t\/1/ }).click();
  assert.equal(await page.getByLabel("Data", { exact: true }).inputValue(), '{"n": 1}');
  await page.getByRole("button", { name: /^Publish again: t\/1/ }).click();
  await outcome(page, 3);
  assert.equal((await history(broker, "t/1")).length, 2);
  await page.getByRole("button", { name: "Forget all" }).click();
  await page.getByText("Nothing was published from this tab yet").waitFor();
});

test("the code that is copied publishes the same", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openPage(t, broker.http, "#/publish");
  const data = { text: `it's "a" $HOME \\ é` };
  await fill(page, "it's/here", JSON.stringify(data));
  await page.getByRole("button", { name: "As code" }).click();
  assert.match(shell(await codeOf(page, "curl")), /"pos"/);
  shell(await codeOf(page, "fantail"));
  execFileSync("/usr/bin/python3", ["-c", await codeOf(page, "Python")]);
  const kept = await history(broker, "it's/here");
  assert.deepEqual(
    kept.map((message) => message.data),
    [data, data, data],
  );
});

test("the page is accessible, empty, wrong and full, on a desk and on a phone", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openPage(t, broker.http, "#/publish");
  await page.getByText("Nothing was published").waitFor();
  await accessibleEverywhere(page);
  await fill(page, "sensors/attic/temp", '{"celsius": 21.5}');
  await publishIt(page);
  await outcome(page);
  await fill(page, "sensors/attic/temp", '{\n  "celsius": 21.5,\n}');
  await page.getByRole("button", { name: "Go there" }).waitFor();
  await accessibleEverywhere(page);
  await picture(page, "console_publish");
  await page.setViewportSize(PHONE);
  await picture(page, "console_publish_phone");
  assert.deepEqual(errors, []);
});
