/** The hub when tabs, the connection or the broker misbehave: upstream is a fake, ports are recorded. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { Hubs } from "../../clients/js/src/hub.js";
import { json } from "../../clients/js/src/json.js";
import type { FromHub, FromTab, HubPort } from "../../clients/js/src/port.js";
import type { Ending, Envelope, TransportHandlers } from "../../clients/js/src/transport.js";
import { atEnd } from "./support/cleanup.js";
import { until } from "./support/wait.js";

const WELCOME = { op: "welcome", version: 1, session: "s", node: "n", user: null, ping: 0.1 };
const HELLO = { url: "ws://broker/ws", token: null, codec: json.subprotocol, transports: undefined, lock: undefined };

/** What the hub opens: connections that the test speaks for. */
class Upstream {
  readonly opened: { handlers: TransportHandlers; sent: Envelope[]; isClosed: boolean; token: string | null }[] = [];
  readonly hubs = new Hubs(
    () => ({ token }, handlers) => {
      const one = { handlers, sent: [] as Envelope[], isClosed: false, token };
      this.opened.push(one);
      return {
        send: (envelope) => one.sent.push(envelope) > 0,
        close: () => void (one.isClosed = true),
      };
    },
    () => Promise.resolve(json),
    undefined,
  );

  get last() {
    return this.opened.at(-1)!;
  }

  say(envelope: Envelope): void {
    this.last.handlers.onEnvelope(envelope);
  }

  /** Answers what was asked last. */
  answer(reply: Omit<Envelope, "id">): void {
    this.say({ ...reply, op: String(reply.op), id: this.last.sent.at(-1)!.id! });
  }

  /** Answers pings until nothing is asked any more. */
  settle(): void {
    for (let n = 0; n < 20 && this.last.sent.at(-1)?.op === "ping"; n++) {
      const { id } = this.last.sent.pop()!;
      this.say({ op: "ok", id: id! });
    }
  }
}

/** A tab that takes what comes only when it is told to. */
class Tab implements HubPort {
  onmessage = (_message: FromTab): void => undefined;
  readonly heard: Envelope[] = [];
  ending: Ending | undefined;
  batches = 0;
  private isHeld = false;
  private isOwed = false;

  constructor(upstream: Upstream, token: string | null = null) {
    upstream.hubs.accept(this);
    this.onmessage({ type: "open", hello: { ...HELLO, token } });
  }

  post(message: FromHub): void {
    if (message.type === "end") this.ending = message.ending;
    if (message.type !== "envelopes") return;
    this.batches++;
    this.heard.push(...message.envelopes);
    if (this.isHeld) this.isOwed = true;
    else this.onmessage({ type: "taken" });
  }

  close(): void {}

  send(envelope: Envelope): void {
    this.onmessage({ type: "send", envelope });
  }

  hold(): void {
    this.isHeld = true;
  }

  take(): void {
    this.isHeld = false;
    if (this.isOwed) this.onmessage({ type: "taken" });
    this.isOwed = false;
  }
}

async function open(t: TestContext, count: number) {
  const upstream = new Upstream();
  atEnd(t, () => upstream.hubs.end({ code: 1000, reason: "the test is over" }));
  const tabs = Array.from({ length: count }, () => new Tab(upstream));
  await until(() => upstream.opened.length === 1, "the connection");
  upstream.say(WELCOME);
  await until(() => tabs.every(({ heard }) => heard.length === 1), "the welcomes");
  return { upstream, tabs };
}

function subscribe(upstream: Upstream, tab: Tab, topics: string[]): void {
  tab.send({ op: "sub", id: 1, topics });
  upstream.answer({ op: "ok", pos: ["s.0"] });
  upstream.settle();
}

const message = (n: number, data: unknown): Envelope => ({ op: "msg", topic: "t", data, pos: `s.${n}` });

test("a tab that takes nothing costs a bounded queue, and then has to resume; the others notice nothing", async (t) => {
  const { upstream, tabs } = await open(t, 2);
  const [slow, quick] = tabs as [Tab, Tab];
  for (const tab of tabs) subscribe(upstream, tab, ["t"]);
  await until(() => tabs.every(({ heard }) => heard.length === 2), "the oks");
  slow.hold();
  const data = "x".repeat(10_000);
  for (let n = 1; n <= 2000; n++) {
    upstream.say(message(n, data));
    if (n % 100 === 0) await until(() => quick.heard.length === n + 2, "the quick one has it");
  }
  assert.equal(slow.batches, 3); // the welcome, the ok, and what came first
  assert.deepEqual([slow.ending?.code, slow.ending?.retry], [4508, 0]);
  assert.equal(quick.ending, undefined);
  assert.equal(upstream.last.sent.at(-1)!.op, "sub"); // the filter is the other's, too
});

test("what a tab takes late comes in one piece, whole and in order", async (t) => {
  const { upstream, tabs } = await open(t, 1);
  const [tab] = tabs as [Tab];
  subscribe(upstream, tab, ["t"]);
  await until(() => tab.heard.length === 2, "the ok");
  tab.hold();
  for (let n = 1; n <= 500; n++) {
    upstream.say(message(n, n));
    if (n === 1) await until(() => tab.heard.length === 3, "the first one");
  }
  assert.equal(tab.heard.length, 3);
  tab.take();
  await until(() => tab.heard.length === 502, "the rest");
  assert.deepEqual(tab.heard.slice(2).map((one) => one.data), Array.from({ length: 500 }, (_, n) => n + 1));
  assert.equal(tab.batches, 4);
});

test("the end of the connection is every tab's, and the first who comes back makes the next", async (t) => {
  const { upstream, tabs } = await open(t, 3);
  upstream.last.handlers.onEnd({ code: 1012, reason: "draining", retry: 5 });
  assert.deepEqual(tabs.map(({ ending }) => ending), tabs.map(() => ({ code: 1012, reason: "draining", retry: 5 })));
  const again = [0, 1].map((n) => new Tab(upstream, `${n}.e30.x`));
  assert.equal(again.length, 2);
  const opaque = new Tab(upstream);
  await until(() => upstream.opened.length === 4, "three more"); // other tokens are somebody else's
  assert.equal(upstream.last.token, null);
  assert.deepEqual([...again, opaque].map(({ ending }) => ending), [undefined, undefined, undefined]);
});

test("a connection on which nothing comes any more is given up when a tab looks", async (t) => {
  const { upstream, tabs } = await open(t, 2);
  const [a, b] = tabs as [Tab, Tab];
  a.send({ op: "ping" });
  await until(() => a.ending && b.ending, "both end");
  assert.deepEqual([a.ending!.code, upstream.last.isClosed], [1006, true]);
  const next = new Tab(upstream);
  await until(() => upstream.opened.length === 2, "another connection");
  upstream.say(WELCOME);
  await until(() => next.heard.length === 1, "the welcome");
  next.send({ op: "ping" });
  upstream.answer({ op: "ok" });
  await until(() => next.heard.length === 2, "the pong");
  assert.deepEqual(next.heard[1], { op: "pong" });
});

test("answers go to who asked, under the ids that they gave", async (t) => {
  const { upstream, tabs } = await open(t, 2);
  const [a, b] = tabs as [Tab, Tab];
  a.send({ op: "pub", id: "x", topic: "t", data: 1 });
  b.send({ op: "pub", topic: "t", data: 2 });
  const [first, second] = upstream.last.sent;
  assert.notEqual(first!.id, second!.id);
  upstream.say({ op: "error", id: second!.id!, code: 403, message: "no" });
  upstream.say({ op: "ok", id: first!.id!, pos: "s.1" });
  await until(() => a.heard.length === 2 && b.heard.length === 2, "the answers");
  assert.deepEqual(a.heard[1], { op: "ok", id: "x", pos: "s.1" });
  assert.deepEqual(b.heard[1], { op: "error", code: 403, message: "no" });
});

test("what the operator ends, each tab hears of its own; and it is asked for no more", async (t) => {
  const { upstream, tabs } = await open(t, 3);
  const [a, b, c] = tabs as [Tab, Tab, Tab];
  subscribe(upstream, a, ["t", "u"]);
  subscribe(upstream, b, ["u"]);
  subscribe(upstream, c, ["v"]);
  const told = { op: "error", code: 403, message: "unsubscribed by the operator" };
  upstream.say({ ...told, unsubscribed: ["t", "u"] });
  upstream.say({ op: "gap", reason: "relay", pos: ["s.9"] });
  await until(() => tabs.every(({ heard }) => heard.at(-1)!.op === "gap"), "all have heard");
  assert.deepEqual(a.heard.at(-2), { ...told, unsubscribed: ["t", "u"] });
  assert.deepEqual(b.heard.at(-2), { ...told, unsubscribed: ["u"] });
  assert.equal(c.heard.at(-2)!.op, "ok");
  const { length } = upstream.last.sent;
  a.onmessage({ type: "close" });
  assert.equal(upstream.last.sent.length, length);
  c.onmessage({ type: "close" });
  assert.deepEqual(upstream.last.sent.at(-1)!.topics, ["v"]);
});

test("a resume takes along whatever meets its filters, from the least position", async (t) => {
  const { upstream, tabs } = await open(t, 2);
  const [a, b] = tabs as [Tab, Tab];
  a.send({ op: "sub", id: 1, topics: ["t", "far"] });
  upstream.answer({ op: "ok", pos: ["s.5"] });
  upstream.settle();
  upstream.say(message(7, "seven"));
  b.send({ op: "sub", id: 1, topics: ["+"], since: ["s.6", "gone.3"] });
  const asked = upstream.last.sent.at(-1)!;
  assert.deepEqual([asked.topics, asked.since], [["+", "t", "far"], ["s.6", "gone.3"]]);
  upstream.answer({ op: "ok", recovered: true, pos: ["s.6"] });
  upstream.say(message(7, "seven"));
  upstream.say(message(8, "eight"));
  upstream.settle();
  await until(() => a.heard.length === 4 && b.heard.length === 4, "both have all");
  assert.deepEqual(a.heard.slice(2).map(({ data }) => data), ["seven", "eight"]);
  assert.deepEqual(b.heard[1], { op: "ok", id: 1, recovered: true, pos: ["s.6"] });
  assert.deepEqual(b.heard.slice(2).map(({ data }) => data), ["seven", "eight"]);
});
