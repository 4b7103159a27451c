/** The Sessions page in Chromium: who is connected, searched by user, and disconnected after a question. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import WebSocket from "ws";
import { Broker } from "../js/support/broker.js";
import { atEnd } from "../js/support/cleanup.js";
import { Link } from "../js/support/link.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { until, within } from "../js/support/wait.js";
import { accessibleEverywhere } from "./support/axe.js";
import { PHONE, picture } from "./support/chromium.js";
import { openPage } from "./support/console.js";

const root = token({ sub: "root", fantail: { sub: ["#"], pub: ["#"], admin: true } });

interface Guest {
  session: string;
  /** The code with which the broker has closed it. */
  closed: Promise<number>;
}

/** Connects as this user, with these subscriptions. */
async function join(t: TestContext, broker: Broker, user: string, topics: string[]): Promise<Guest> {
  const bearer = token({ sub: user, fantail: { sub: ["#"] } });
  const socket = new WebSocket(broker.ws, ["fantail.v1.json", `fantail.bearer.${bearer}`]);
  atEnd(t, () => socket.terminate());
  const closed = new Promise<number>((done) => socket.once("close", done));
  let session = "";
  const ready = new Promise<void>((done, fail) => {
    socket.once("error", fail);
    socket.on("message", (text) => {
      const envelope = JSON.parse(String(text)) as { op: string; session?: string };
      if (envelope.op === "welcome") session = envelope.session!;
      if (envelope.op === "ok") done();
    });
  });
  socket.once("open", () => {
    const op = topics.length > 0 ? { op: "sub", topics } : { op: "ping" };
    socket.send(JSON.stringify({ ...op, id: 1 }));
  });
  await within(ready, `${user} is connected`);
  return { session, closed };
}

async function start(t: TestContext): Promise<Broker> {
  return Broker.start(t, { settings: TOKEN_SETTINGS });
}

/** The row of a session, as a person sees it: cell by cell. */
async function cells(page: Page, session: string): Promise<string[]> {
  const row = page.getByRole("row").filter({ hasText: session });
  await row.waitFor();
  return (await row.locator("td").allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());
}

test("who is connected is listed", async (t) => {
  const broker = await start(t);
  const ann = await join(t, broker, "ann", ["chat/1", "chat/2"]);
  const bob = await join(t, broker, "bob", []);
  const { page, errors } = await openPage(t, broker.http, "#/sessions", { token: root });
  const [user, session, address, node, encoding, age, topics, outbox] = await cells(page, ann.session);
  assert.deepEqual([user, session, address, encoding], ["ann", ann.session, "127.0.0.1", "JSON"]);
  assert.ok(node && /^\d+ s/.test(age!) && outbox === "0 B", `${node} ${age} ${outbox}`);
  assert.deepEqual(topics!.split(" ").sort(), ["chat/1", "chat/2"]);
  assert.equal((await cells(page, bob.session))[6], "none");
  await page.getByText("this page").waitFor(); // its own row may come later than theirs
  const users = await page.locator("td.heading").allInnerTexts();
  const names = users.map((text) => text.split(/\s/)[0]);
  assert.deepEqual(names.sort(), ["ann", "bob", "root"], "in any order: they may have come at once");
  assert.deepEqual(errors, []);
});

test("newcomers appear, and a search leaves one user's", async (t) => {
  const broker = await start(t);
  const { page } = await openPage(t, broker.http, "#/sessions", { token: root });
  await page.getByText("1 session", { exact: true }).waitFor();
  await join(t, broker, "ann", ["a"]);
  await join(t, broker, "ann", ["b"]);
  await join(t, broker, "bob", ["c"]);
  await page.getByText("4 sessions").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("ann");
  await page.getByText("2 sessions of ann").waitFor();
  assert.deepEqual(await page.locator("td.heading").allInnerTexts(), ["ann", "ann"]);
  assert.equal(new URL(page.url()).hash, "#/sessions?user=ann");
  await page.getByRole("searchbox").fill("nobody");
  await page.getByText("No session of nobody").waitFor();
});

test("a session is disconnected after a question, and no other", async (t) => {
  const broker = await start(t);
  const ann = await join(t, broker, "ann", ["a"]);
  const other = await join(t, broker, "ann", ["b"]);
  const { page } = await openPage(t, broker.http, "#/sessions", { token: root });
  const button = page.getByRole("button", { name: `Disconnect ann, session ${ann.session}` });
  await button.click();
  await page.getByRole("dialog").getByText(ann.session).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await button.press("Enter");
  await page.getByRole("dialog").getByRole("button", { name: "Disconnect", exact: true }).click();
  assert.equal(await within(ann.closed, "it is closed"), 4403);
  await page.getByText("1 session disconnected.").waitFor();
  await page.getByText("2 sessions", { exact: true }).waitFor();
  await cells(page, other.session);
});

test("all sessions of a user are disconnected at once", async (t) => {
  const broker = await start(t);
  const guests = [await join(t, broker, "ann", ["a"]), await join(t, broker, "ann", ["b"])];
  const { page } = await openPage(t, broker.http, "#/sessions?user=ann", { token: root });
  await page
    .getByRole("button", { name: /^Disconnect ann/ })
    .first()
    .click();
  await page.getByLabel("All sessions of ann").check();
  await page.getByRole("button", { name: "Disconnect all" }).click();
  for (const guest of guests) assert.equal(await within(guest.closed, "it is closed"), 4403);
  await page.getByText("No session of ann").waitFor();
});

test("of many sessions the latest are shown, and more on demand", async (t) => {
  const broker = await start(t);
  for (let n = 0; n < 130; n += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, k) => join(t, broker, `user${n + k}`, [`t/${n + k}`])));
  }
  const { page } = await openPage(t, broker.http, "#/sessions", { token: root });
  await page.getByText("131 sessions, the latest 100 shown").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 100);
  await page.getByRole("button", { name: "Show 100 more" }).click();
  await until(async () => (await page.locator("tbody tr").count()) === 131, "all are shown");
  assert.equal(await page.getByRole("button", { name: "Show 100 more" }).count(), 0);
});

test("while the broker is away the page says so, and what was so before", async (t) => {
  const broker = await start(t);
  const link = await Link.to(t, broker);
  const ann = await join(t, broker, "ann", ["a"]);
  const { page } = await openPage(t, `http://127.0.0.1:${link.port}`, "#/sessions", { token: root });
  await cells(page, ann.session);
  link.cut();
  await page.getByText("As they were a while ago: the broker cannot be reached.").waitFor();
  await cells(page, ann.session);
  link.restore();
  await page.getByText("As they were a while ago").waitFor({ state: "detached" });
});

test("who is no admin is told which claim is missing", async (t) => {
  const broker = await start(t);
  const mine = token({ sub: "ann", fantail: { sub: ["#"] } });
  const { page } = await openPage(t, broker.http, "#/sessions", { token: mine });
  await page.getByText("Sessions are for admins").waitFor();
  await page.getByText('"fantail": {"admin": true}').waitFor();
  await page.getByRole("button", { name: "Sign in with another token" }).click();
  await page.getByRole("dialog").getByLabel("Token").fill(root);
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await page.getByText("1 session", { exact: true }).waitFor();
});

test("the page is accessible, with and without a question, on a desk and on a phone", async (t) => {
  const broker = await start(t);
  const filters = ["chat/42", "chat/+/typing", "presence/#", "$presence/chat/42", "inbox/ann/#", "a/b", "a/c"];
  for (const user of ["ann", "bob", "carol", "dave"]) {
    await join(
      t,
      broker,
      user,
      filters.filter((filter) => !filter.startsWith("$")),
    );
  }
  const { page, errors } = await openPage(t, broker.http, "#/sessions", { token: root });
  await page.getByText("5 sessions").waitFor();
  await accessibleEverywhere(page);
  await picture(page, "console_sessions");
  await page.setViewportSize(PHONE);
  await picture(page, "console_sessions_phone");
  await page.getByRole("button", { name: /^Disconnect ann/ }).click();
  await page.getByRole("dialog").waitFor();
  await accessibleEverywhere(page);
  assert.deepEqual(errors, []);
});
