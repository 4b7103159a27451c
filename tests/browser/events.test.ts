/** The browser's own EventSource, fetch and WebSocket against the broker, and what other origins may do. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Page } from "playwright-core";
import { Broker } from "../js/support/broker.js";
import { Link } from "../js/support/link.js";
import { test } from "../js/support/test.js";
import { token, TOKEN_SETTINGS } from "../js/support/tokens.js";
import { until } from "../js/support/wait.js";
import { visit } from "./support/chromium.js";
import { Site } from "./support/site.js";

/** What the page keeps of its event stream. */
interface Heard {
  source: EventSource;
  seen: unknown[];
  said: [string, { recovered?: boolean }][];
  errors: number;
}
declare global {
  interface Window {
    heard: Heard;
  }
}

/** Opens an EventSource, and waits until it has its `ok` or is given up; returns its state. */
async function listen(page: Page, url: string): Promise<number> {
  return page.evaluate(async (url) => {
    const heard: Heard = { source: new EventSource(url), seen: [], said: [], errors: 0 };
    window.heard = heard;
    const { source } = heard;
    source.onmessage = (event) => heard.seen.push(JSON.parse(event.data).data);
    return new Promise<number>((done) => {
      for (const kind of ["ok", "gap", "bye"]) {
        source.addEventListener(kind, (event) => {
          heard.said.push([kind, JSON.parse((event as MessageEvent).data)]);
          done(source.readyState);
        });
      }
      source.onerror = () => {
        heard.errors += 1;
        if (source.readyState === 2) done(2);
      };
    });
  }, url);
}

/** Waits for so many messages and returns their data. */
async function seenAfter(page: Page, count: number): Promise<unknown[]> {
  await page.waitForFunction((count) => window.heard.seen.length >= count, count);
  return page.evaluate(() => window.heard.seen);
}

function publishAll(broker: Broker, topic: string, values: unknown[]): Promise<string[]> {
  return broker.publish(values.map((data) => ({ topic, data })));
}

/** Fetches; null where the browser does not let the page see the answer. */
function fetchIn(page: Page, url: string, options: RequestInit = {}): Promise<[number, string] | null> {
  return page.evaluate(
    ({ url, options }) =>
      fetch(url, options).then(
        async (answer) => [answer.status, await answer.text()] as [number, string],
        () => null,
      ),
    { url, options },
  );
}

/** Opens a WebSocket, and tells the subprotocol that was chosen, or that there was none to be had. */
function openSocket(page: Page, broker: Broker, ...more: string[]): Promise<string> {
  return page.evaluate(
    ({ url, protocols }) =>
      new Promise<string>((done) => {
        const ws = new WebSocket(url, protocols);
        ws.onerror = () => done("error");
        ws.onopen = () => {
          done(ws.protocol);
          ws.close();
        };
      }),
    { url: broker.ws, protocols: ["fantail.v1.json", ...more] },
  );
}

async function behindLink(t: TestContext, workers: number) {
  const broker = await Broker.start(t, { workers });
  const link = await Link.to(t, broker);
  const { page } = await visit(t, `${link.http}/healthz`);
  return { broker, link, page };
}

test("a stream that breaks is resumed by the browser itself", async (t) => {
  const { broker, link, page } = await behindLink(t, 2);
  assert.equal(await listen(page, "/v1/events?topic=t/%23&topic=u"), 1);
  const numbers = Array.from({ length: 60 }, (_, n) => n);
  for (const first of [0, 30]) {
    await publishAll(broker, "t/a", numbers.slice(first, first + 10));
    await seenAfter(page, first + 10);
    link.cut();
    await broker.publish(numbers.slice(first + 10, first + 30).map((n) => ({ topic: `t/${n}`, data: n })));
    link.restore();
    assert.deepEqual(await seenAfter(page, first + 30), numbers.slice(0, first + 30));
  }
  const heard = await page.evaluate(() => ({ said: window.heard.said, errors: window.heard.errors }));
  assert.deepEqual(heard.said.map(([kind, { recovered }]) => [kind, recovered]), [
    ["ok", undefined],
    ["ok", true],
    ["ok", true],
  ]);
  assert.ok(heard.errors >= 2);
});

test("one that is cut before its first message misses none", async (t) => {
  const { broker, link, page } = await behindLink(t, 1);
  assert.equal(await listen(page, "/v1/events?topic=t"), 1);
  link.cut();
  await publishAll(broker, "t", ["meanwhile"]);
  link.restore();
  assert.deepEqual(await seenAfter(page, 1), ["meanwhile"]);
});

test("line breaks and other scripts arrive as they are", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await visit(t, `${broker.http}/healthz`);
  assert.equal(await listen(page, "/v1/events?topic=t&last=1"), 1);
  const values = ["a\nb\r\nc", "\u2028\u2029", "😀", { "\n": ["\r"] }, "data: x\n\n", "\ufeff"];
  await publishAll(broker, "t", values);
  assert.deepEqual(await seenAfter(page, values.length), values);
});

test("a page of another origin gets nothing", async (t) => {
  const broker = await Broker.start(t);
  const { page } = await visit(t, (await Site.start(t)).origin);
  assert.equal(await listen(page, `${broker.http}/v1/events?topic=t`), 2);
  for (const type of ["application/json", "text/plain"]) {
    const options = { method: "POST", body: '{"topic":"t","data":"foreign"}', headers: { "Content-Type": type } };
    assert.equal(await fetchIn(page, `${broker.http}/v1/publish`, options), null);
  }
  // The second is sent without asking first.
  for (const mode of ["cors", "no-cors"] as const) {
    await fetchIn(page, `${broker.http}/v1/topics/t`, { method: "POST", body: "x", mode });
  }
  assert.equal(await openSocket(page, broker), "error");
  const { body } = await broker.get("/v1/history?topic=t&last=10");
  assert.deepEqual(body, { messages: [] });
});

test("a page whose origin is listed gets everything", async (t) => {
  const site = await Site.start(t);
  const settings = { "http.origins": `https://a.example,${site.origin}`, ...TOKEN_SETTINGS };
  const broker = await Broker.start(t, { settings });
  const ann = token({ sub: "ann", fantail: { sub: ["t/#"], pub: ["t/#"] } });
  const headers = { Authorization: `Bearer ${ann}`, "Content-Type": "application/json" };
  const { page } = await visit(t, site.origin);
  assert.equal(await listen(page, `${broker.http}/v1/events?topic=t/%23&token=${ann}`), 1);

  const publication = { method: "POST", body: '{"topic":"t/a","data":1}', headers };
  const published = await fetchIn(page, `${broker.http}/v1/publish`, publication);
  assert.equal(published?.[0], 200);
  assert.deepEqual(await seenAfter(page, 1), [1]);

  const history = `${broker.http}/v1/history?topic=t/a`;
  const [status, text] = (await fetchIn(page, history, { headers }))!;
  assert.deepEqual([status, JSON.parse(text).messages[0].data], [200, 1]);
  const refused = (await fetchIn(page, history))!; // and the page can see why
  assert.deepEqual([refused[0], JSON.parse(refused[1]).error.code], [401, 401]);
  assert.equal(await openSocket(page, broker, `fantail.bearer.${ann}`), "fantail.v1.json");
  assert.equal(await openSocket(page, broker, "fantail.bearer.x.y.z"), "error");
});

test("a broker that is killed and started again has its pages back", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, () => broker);
  const { page } = await visit(t, `${link.http}/healthz`);
  await listen(page, "/v1/events?topic=t");
  await broker.kill();
  await broker.restart();
  await until(async () => (await page.evaluate(() => window.heard.said.length)) === 2, "the stream is back");
  await publishAll(broker, "t", ["after"]);
  assert.deepEqual(await seenAfter(page, 1), ["after"]);
  const said = await page.evaluate(() => window.heard.said);
  assert.equal(said[1]![1].recovered, false);
});
