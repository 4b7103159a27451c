/** The pages that the broker serves, under the policy that it sends with them: what runs, and what does not. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import { ROOT } from "../js/support/programs.js";
import { profile, visit } from "./support/chromium.js";
import { Site } from "./support/site.js";

const EXAMPLES = readdirSync(join(ROOT, "clients/js/examples")).filter((name) => name.endsWith(".html"));

/** What a page may try, and the part of its policy that keeps it from that. */
const TRIALS = [
  ["an inline script", "script-src-elem", "document.body.append(made('script', { textContent: 'window.ran = 1' }))"],
  ["a script from elsewhere", "script-src-elem", "document.body.append(made('script', { src: elsewhere }))"],
  ["an inline handler", "script-src-attr", "document.body.setAttribute('onclick', 'window.ran = 1')"],
  ["a style attribute", "style-src-attr", "document.body.setAttribute('style', 'color: red')"],
  ["a request to elsewhere", "connect-src", "void fetch(elsewhere).catch(() => {})"],
  ["a socket to elsewhere", "connect-src", "new WebSocket(elsewhere.replace('https', 'wss')).onerror = () => {}"],
  ["an image from elsewhere", "img-src", "document.body.append(made('img', { src: elsewhere }))"],
  ["a frame", "frame-src", "document.body.append(made('iframe', { src: '/' }))"],
  ["another base", "base-uri", "document.head.append(made('base', { href: elsewhere }))"],
] as const;

/** Carries out the script as one of the page's own would be, and returns what of the policy it violates. */
function violation(page: Page, script: string): Promise<string> {
  return page.evaluate(`new Promise((done) => {
    const elsewhere = "https://a.example/x", made = (tag, has) => Object.assign(document.createElement(tag), has);
    document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
    ${script};
  })`);
}

for (const path of ["/", ...EXAMPLES.map((name) => `/examples/${name.replace(".html", "")}`)]) {
  test(`${path} runs under its policy and asks nobody else`, async (t: TestContext) => {
    const broker = await Broker.start(t);
    const context = await profile(t);
    const asked = new Set<string>();
    context.on("request", (request) => asked.add(new URL(request.url()).origin));
    const { page, errors } = await visit(t, broker.http + path, { context });
    await page.waitForFunction(() => document.querySelector("h1, h2")?.textContent);
    await page.waitForLoadState("networkidle");
    assert.deepEqual([...asked], [broker.http]);
    assert.deepEqual(errors, []);
  });
}

for (const [what, directive, script] of TRIALS) {
  test(`the policy stops ${what}`, async (t: TestContext) => {
    const broker = await Broker.start(t);
    const { page } = await visit(t, broker.http);
    assert.equal(await violation(page, script), directive);
    assert.equal(await page.evaluate("window.ran"), undefined);
  });
}

test("the console lets nobody put it into a frame", async (t: TestContext) => {
  const broker = await Broker.start(t, { settings: { "http.origins": "*" } });
  const { page, errors } = await visit(t, (await Site.start(t)).origin);
  await page.evaluate(async (src) => {
    const frame = Object.assign(document.createElement("iframe"), { src });
    const loaded = new Promise((done) => frame.addEventListener("load", done));
    document.body.append(frame);
    await loaded;
  }, broker.http);
  assert.match(errors.join(), /frame-ancestors 'none'/);
  assert.equal(page.frames()[1]!.url(), "chrome-error://chromewebdata/");
});

test("a page that was loaded before is asked for, and not sent again", async (t: TestContext) => {
  const broker = await Broker.start(t);
  const { page } = await visit(t, broker.http);
  const asked = new Map<string, number>();
  await page.waitForLoadState("networkidle");
  page.on("response", async (response) => {
    const sizes = await response.request().sizes();
    asked.set(new URL(response.url()).pathname, sizes.responseBodySize);
  });
  await page.reload({ waitUntil: "networkidle" });
  assert.equal(asked.get("/"), 0);
  assert.equal(asked.get("/console/main.js"), 0);
});

test("tabs of the broker's own pages share a connection", async (t: TestContext) => {
  const broker = await Broker.start(t);
  const context = await profile(t);
  // A page without a connection of its own.
  const tabs = [1, 2].map(() => visit(t, `${broker.http}/console/licenses.txt`, { context }));
  for (const { page } of await Promise.all(tabs)) {
    const got = await page.evaluate(`import("/examples/fantail.js").then(async ({ connect }) => {
      const fan = connect("${broker.ws}", { shared: true });
      await fan.subscribe("tab", () => {}).ready;
      return fan.state;
    })`);
    assert.equal(got, "open");
  }
  const stats = await broker.stats();
  assert.equal(stats.sessions_opened.json, 1);
});
