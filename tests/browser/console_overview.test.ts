/** The console's frame and overview in Chromium: opened, used, broken in the middle, by key and
 * by eye. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import { startCluster } from "../js/support/cluster.js";
import { Link } from "../js/support/link.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { until } from "../js/support/wait.js";
import { accessible } from "./support/axe.js";
import { DESKTOP, PHONE, picture, profile, visit } from "./support/chromium.js";

/** As much of a chart as tests look at: its data, as uPlot has them. */
interface ChartElement extends Element {
  plot: { data: [number[], ...(number | null | undefined)[][]] };
}

interface Told {
  at: number;
  connections: number;
}

const SILENT_MS = 2400;
/** Nothing is wrong, but for a machine that has other tests to run as well. */
const WELL = /(is|are) well|stalled/;

/** Figures as they came over the wire, on whichever connection. Before the page is opened. */
function tapFigures(page: Page): Told[] {
  const told: Told[] = [];
  page.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => {
      const { topic, data } = JSON.parse(String(payload)) as { topic?: string; data: Told };
      if (topic?.startsWith("$sys/")) told.push(data);
    }),
  );
  return told;
}

function chartOf(
  page: Page,
  title: string,
): Promise<[number[], ...(number | null | undefined)[][]]> {
  return page.$eval(
    `section[aria-label="${title}"] .chart`,
    (element) => (element as unknown as ChartElement).plot.data,
  );
}

/** What a chart has that is a sample, as it came. */
async function charted(page: Page): Promise<Told[]> {
  const [times, values] = await chartOf(page, "Connections");
  return times.flatMap((seconds, i) => {
    const connections = values![i];
    return typeof connections === "number" ? [{ at: Math.round(seconds * 1000), connections }] : [];
  });
}

const short = ({ at, connections }: Told): Told => ({ at, connections });

async function verdict(page: Page): Promise<string> {
  return (await page.locator(".verdict").innerText()).replaceAll("\u00a0", " ");
}

async function openConsole(t: test.TestContext, url: string, viewport = DESKTOP) {
  const context = await profile(t, { viewport });
  const page = await context.newPage();
  const told = tapFigures(page);
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(url);
  await page.locator(".tiles").waitFor();
  return { page, told, errors };
}

test("a page that somebody has just come to says how to publish, until something is", async (t) => {
  const broker = await Broker.start(t);
  const { page, errors } = await openConsole(t, broker.http);
  const help = page.getByRole("region", { name: "The first publication" });
  await help.waitFor();
  assert.match(await help.innerText(), /fantail -s ws:\/\/127\.0\.0\.1:\d+\/ws pub greetings/);
  await help.getByText("curl", { exact: true }).click();
  const command = await help.locator("code").first().innerText();
  const { groups } = command.match(/-d '(?<body>.*)' (?<url>\S+)$/) ?? {};
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(groups!.url!, { method: "POST", headers, body: groups!.body! });
  assert.equal(answer.status, 200);
  await help.waitFor({ state: "detached" });
  assert.match(await verdict(page), WELL);
  assert.deepEqual(errors, []);
});

test("figures are shown as they are told", async (t) => {
  const broker = await Broker.start(t);
  const { page, told } = await openConsole(t, broker.http);
  for (let n = 0; told.length < 6; n++) {
    await broker.publish(Array.from({ length: 20 }, (_, i) => ({ topic: `t/${i}`, data: n })));
  }
  const seen = told.slice(0, 6).map(short);
  await until(async () => (await charted(page)).length >= 6, "the chart has them");
  assert.deepEqual((await charted(page)).slice(0, 6), seen);
  const row = page.locator(".nodes tbody tr");
  await until(
    async () => /\d \/s/.test((await row.innerText()).replaceAll("\u00a0", " ")),
    "rates in the table",
  );
  const published = page.getByRole("region", { name: "Publications in" }).locator(".figure");
  await until(
    async () => parseFloat((await published.innerText()).replace(",", "")) > 20,
    "the rate in its tile",
  );
});

test("a broker killed and started again: a break in the line, none lost or doubled", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, () => broker);
  const { page, told } = await openConsole(t, link.http);
  await until(() => told.length >= 4, "figures before");
  await broker.kill();
  const before = told.length;
  await page.getByText("is lost").first().waitFor();
  assert.match(await page.locator(".connection").innerText(), /Not connected/);
  const last = told.at(-1)!.at;
  await until(() => Date.now() - last > SILENT_MS + 500, "the break is long enough to be one");
  await broker.restart();
  await until(() => told.length >= before + 4, "figures after", 40_000);
  const seen = told.slice(0, before + 4).map(short);
  await until(async () => (await charted(page)).length >= seen.length, "the chart has them");
  assert.deepEqual((await charted(page)).slice(0, seen.length), seen);

  const [times, values] = await chartOf(page, "Connections");
  assert.deepEqual(
    times,
    [...new Set(times)].sort((a, b) => a - b),
  );
  for (let i = 1; i < seen.length; i++) {
    const [from, to] = [times.indexOf(seen[i - 1]!.at / 1000), times.indexOf(seen[i]!.at / 1000)];
    const isBroken = values!.slice(from, to).includes(null);
    assert.equal(
      isBroken,
      seen[i]!.at - seen[i - 1]!.at > SILENT_MS,
      `after ${i} of ${seen.length}`,
    );
  }
  await until(async () => /was restarted/.test(await verdict(page)), "the restart is told");
});

test("a node that falls silent is named within 3 s, and is well when heard again", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  const { page, told } = await openConsole(t, link.http);
  await until(async () => told.length >= 3 && WELL.test(await verdict(page)), "all is well");
  await page.evaluate(() => {
    const health = document.querySelector(".verdict")!;
    new MutationObserver(() => {
      if (health.textContent!.includes("does not answer"))
        document.body.dataset["named"] ??= String(Date.now());
    }).observe(health, { subtree: true, childList: true, characterData: true });
  });
  link.stall("down");
  await page.locator("body[data-named]").waitFor({ state: "attached" });
  const named = Number(await page.locator("body").getAttribute("data-named"));
  const after = named - told.at(-1)!.at;
  // The broker's clock is the page's. What is above 3 s is this machine's.
  assert.ok(after >= SILENT_MS && after < 3300, `${after} ms`);
  assert.match(await page.getByRole("row", { name: /silent for/ }).innerText(), /–/);
  link.restore();
  await until(async () => WELL.test(await verdict(page)), "all is well again");
});

test("a cluster: lines by node, the total, one node; who is killed is named", async (t) => {
  const [first, second] = await startCluster(t, 2);
  const { page, told } = await openConsole(t, first!.http);
  await until(async () => WELL.test(await verdict(page)), "both are well");
  assert.equal(await page.locator(".nodes tbody tr").count(), 2);
  await until(() => told.length >= 6, "some figures");
  const lines = async () => (await chartOf(page, "Connections")).length - 1;
  assert.equal(await lines(), 2);
  await page.getByRole("radio", { name: "Total" }).check({ force: true });
  await until(async () => (await lines()) === 1, "one line for all");
  await page.getByRole("radio", { name: "n2" }).check({ force: true });
  const tile = page.getByRole("region", { name: "Connections" }).locator(".figure");
  await until(async () => (await tile.innerText()) === "0", "the connections of n2 alone");
  await second!.kill();
  await page.getByText("n2 does not answer").first().waitFor();
  assert.match(await page.getByRole("row", { name: /n2/ }).innerText(), /silent for/);
  await page.getByLabel(/^\d urgent$/).waitFor();
});

test("who is disconnected by the operator is told, and can come back", async (t) => {
  const broker = await Broker.start(t);
  const { page, told } = await openConsole(t, broker.http);
  await until(() => told.length >= 2, "figures");
  const { body } = await broker.get("/v1/sessions");
  const [{ session }] = (body as { sessions: [{ session: string }] }).sessions;
  await broker.post("/v1/disconnect", { session });
  const ended = page.getByRole("banner").getByText("Ended by the broker");
  await ended.waitFor();
  await page.locator(".verdict").getByText("has ended the connection").first().waitFor();
  const before = told.length;
  await page.getByRole("button", { name: "Connect again" }).click();
  await until(() => told.length >= before + 2, "figures go on");
  assert.equal(await ended.count(), 0);
});

test("keys alone do everything", async (t) => {
  const broker = await Broker.start(t);
  const { page, told } = await openConsole(t, broker.http);
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");

  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys and help" });
  await help.getByText("This help").waitFor();
  await page.keyboard.press("Escape");
  await help.waitFor({ state: "detached" });

  await until(() => told.length >= 5, "a past to go back to");
  const slider = page.getByRole("slider", { name: "Time of the figures" });
  await slider.focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
  assert.match(
    (await slider.getAttribute("aria-valuetext"))!,
    /^\d\d:\d\d:\d\d, [3-5]\u00a0s ago$/,
  );
  assert.equal(await page.locator(".tiles.past").count(), 1);
  await page.keyboard.press("End");
  assert.equal(await slider.getAttribute("aria-valuetext"), "now");

  await page.keyboard.press("g");
  await page.keyboard.press("o");
  await page.goto(`${broker.http}/#/nowhere`);
  await page.getByText("There is no such page").waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("o");
  await page.locator(".tiles").waitFor();
});

test("keys can be switched off, and what is typed is no key", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const { page } = await visit(t, broker.http);
  await page.getByLabel("Token").fill("");
  await page.getByLabel("Token").press("?");
  assert.equal(await page.getByRole("dialog").count(), 0);
  await page.locator("main").focus();
  await page.keyboard.press("?");
  await page.getByLabel("Keys work without Ctrl or Alt").uncheck();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("?");
  await page.reload();
  await page.getByLabel("Token").waitFor();
  await page.locator("main").focus();
  await page.keyboard.press("?");
  assert.equal(await page.getByRole("dialog").count(), 0);
});

test("light and dark: the system's choice, unless the switch says otherwise", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await openConsole(t, broker.http);
  const ground = () =>
    page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await until(
    async () => [await ground()].find((color) => color !== light),
    "dark as the system",
  );
  await page.getByRole("button", { name: "Colours: as the system" }).click();
  assert.equal(await ground(), light);
  await page.reload();
  assert.equal(await ground(), light);
  await page.getByRole("button", { name: "Colours: light" }).click();
  await page.emulateMedia({ colorScheme: "light" });
  await page.reload();
  assert.equal(await ground(), dark);
});

test("signing in: what is wrong with a token is said, a good one stays in the tab", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const { page, context } = await visit(t, broker.http);
  const field = page.getByLabel("Token");
  const submit = page.getByRole("button", { name: "Sign in" });
  await field.fill("nonsense");
  await submit.click();
  await page.locator("#token-error").waitFor();
  await accessible(page);
  await picture(page, "console-sign-in");

  await field.fill(token({ sub: "ann", fantail: { sub: ["#"], pub: ["#"] } }));
  await submit.click();
  await page.getByText("Figures are for admins").waitFor();
  await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
  const admin = token({ sub: "root", fantail: { sub: ["#"], pub: ["#"], admin: true } });
  await page.getByRole("dialog").getByLabel("Token").fill(admin);
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await until(async () => WELL.test(await verdict(page)), "figures");
  await page.reload();
  await until(async () => WELL.test(await verdict(page)), "figures after a reload");

  const other = await context.newPage();
  await other.goto(broker.http);
  await other.getByLabel("Token").waitFor();
  assert.ok(!JSON.stringify(await page.evaluate(() => ({ ...localStorage }))).includes(admin));
  await page.getByRole("button", { name: "Sign out" }).click();
  await field.waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test("a token that expires is asked for again, and the figures go on", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const { page } = await visit(t, broker.http);
  const admin = { sub: "root", fantail: { sub: ["#"], pub: ["#"], admin: true } };
  await page.getByLabel("Token").fill(token(admin, { expiresIn: 3 }));
  await page.getByRole("button", { name: "Sign in" }).click();
  await until(async () => WELL.test(await verdict(page)), "figures");
  const dialog = page.getByRole("dialog", { name: "Sign in" });
  await dialog.getByText("expired").waitFor();
  await dialog.getByLabel("Token").fill(token(admin));
  await dialog.getByRole("button", { name: "Sign in" }).click();
  await dialog.waitFor({ state: "detached" });
  await until(async () => WELL.test(await verdict(page)), "figures go on");
});

for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`the overview is for everybody: ${size}, ${colorScheme}`, async (t) => {
      const broker = await Broker.start(t);
      const { page, told, errors } = await openConsole(t, broker.http, viewport);
      await page.emulateMedia({ colorScheme });
      await accessible(page);
      while (told.length < 5) await broker.publish({ topic: "t", data: 1 });
      await until(async () => (await charted(page)).length >= 5, "charts");
      await accessible(page);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), viewport.width);
      await picture(page, `console-overview-${size}-${colorScheme}`);
      await page.setViewportSize({ width: 900, height: 700 }); // the table scrolls sideways
      await accessible(page);
      assert.deepEqual(errors, []);
    });
  }
}
