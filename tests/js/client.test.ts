/** The life of a client: states, tokens, pauses, dead links, and a broker that does not keep to the protocol. */
import assert from "node:assert/strict";
import test from "node:test";
import { pause } from "../../clients/js/src/backoff.js";
import { connect, type ConnectOptions } from "../../clients/js/src/index.js";
import { Diary, fake, FakeSocket, turn } from "./support/fake.js";
import { until } from "./support/wait.js";

const codes = (errors: Error[]): unknown[] => errors.map((error) => (error as { code?: number }).code);

/** Puts things on the global object that a page has, for the time of a test. */
function asPage(t: { after(end: () => void): void }, things: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(things)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    t.after(() => {
      if (before) Object.defineProperty(globalThis, name, before);
      else delete (globalThis as Record<string, unknown>)[name];
    });
  }
}

test("a client connects by itself, says how it is, and comes back", async (t) => {
  const { client, open, states, errors } = fake(t);
  assert.deepEqual([client.state, client.welcome], ["connecting", null]);
  const welcomes: string[] = [];
  const off = client.on("welcome", ({ session }) => welcomes.push(session));
  let socket = await open({ session: "one" });
  assert.deepEqual([client.state, client.welcome?.session], ["open", "one"]);
  socket.end(1012, "draining");
  assert.equal(client.state, "waiting");
  socket = await open({ session: "two" });
  off();
  socket.end();
  await open({ session: "three" });
  assert.deepEqual(states, ["open", "waiting", "connecting", "open", "waiting", "connecting", "open"]);
  assert.deepEqual(
    [welcomes, codes(errors)],
    [
      ["one", "two"],
      [1012, 1006],
    ],
  );
});

test("URLs: http is ws, no path is /ws, relative ones are the page's", async (t) => {
  const urls: string[] = [];
  class Socket extends FakeSocket {
    constructor(url: URL, protocols: string[]) {
      super(url, protocols);
      urls.push(String(url));
    }
  }
  const open = (url: string | URL): void => {
    const client = connect(url, { WebSocket: Socket });
    t.after(() => client.close());
  };
  assert.throws(() => open("/ws"), TypeError);
  assert.throws(() => open("ftp://example.org/"), { code: 400 });
  open("https://example.org");
  open(new URL("ws://example.org/feeds?x=1#y"));
  asPage(t, { location: { href: "https://example.org/page/index.html?q#h" } });
  open("/ws");
  open("../own");
  await until(() => urls.length === 4, "the connections");
  assert.deepEqual(urls, [
    "wss://example.org/ws",
    "ws://example.org/feeds?x=1",
    "wss://example.org/ws",
    "wss://example.org/own",
  ]);
});

test("a token is asked for before each connection, and offered as a subprotocol", async (t) => {
  const asked: boolean[] = [];
  const getToken = ({ expired }: { expired: boolean }): string => `token${asked.push(expired)}`;
  const { open, socket } = fake(t, { getToken });
  const first = await open();
  assert.deepEqual(first.protocols, ["fantail.v1.json", "fantail.bearer.token1"]);
  first.end();
  const second = await open();
  second.end(4401, "the token expired");
  const third = await socket();
  assert.deepEqual(third.protocols[1], "fantail.bearer.token3");
  assert.deepEqual(asked, [false, false, true]);
});

test("without a token none is offered, and where one is needed that is the end", async (t) => {
  const { client, socket, errors, sockets } = fake(t, { getToken: async () => null });
  const first = await socket();
  assert.deepEqual(first.protocols, ["fantail.v1.json"]);
  first.onerror?.({ message: "Unexpected server response: 401" });
  first.end();
  const second = await socket();
  second.onerror?.({ message: "Unexpected server response: 401" });
  second.end();
  assert.deepEqual([client.state, codes(errors), sockets.length], ["closed", [401, 401], 2]);
});

test("a refused token is asked for once more before the client gives up; one that was good, for ever", async (t) => {
  const asked: boolean[] = [];
  const { client, open, socket } = fake(t, { getToken: ({ expired }) => `t${asked.push(expired)}` });
  (await open()).end();
  for (let i = 0; i < 3; i++) {
    const next = await socket();
    next.onerror?.({ message: "Unexpected server response: 401" });
    next.end();
  }
  await open();
  assert.deepEqual([client.state, asked], ["open", [false, false, true, true, true]]);
});

test("who is not let in without a token is closed at once", async (t) => {
  const { client, socket, errors, states } = fake(t);
  const publishing = client.publish("a", 1);
  const first = await socket();
  first.onerror?.({ message: "Unexpected server response: 401" });
  first.end();
  await assert.rejects(publishing, (error: Error & { cause: { code: number } }) => {
    assert.deepEqual([error.name, error.cause.code], ["ClosedError", 401]);
    return /401/.test(error.message);
  });
  assert.deepEqual([client.state, states, codes(errors)], ["closed", ["closed"], [401]]);
});

test("a program that has no token just now is asked again", async (t) => {
  let calls = 0;
  const getToken = async (): Promise<string> => {
    if (++calls < 3) throw new Error("offline");
    return "t";
  };
  const { open, errors, states } = fake(t, { getToken });
  await open();
  assert.deepEqual(states, ["waiting", "connecting", "waiting", "connecting", "open"]);
  assert.match(errors[0]!.message, /offline/);
});

test("when the broker says that the token has expired, a fresh one goes out in place", async (t) => {
  const asked: boolean[] = [];
  const { open, errors, states, client } = fake(t, { getToken: ({ expired }) => `t${asked.push(expired)}` });
  const diary = new Diary();
  client.subscribe("a", diary.options);
  const socket = await open();
  socket.ok(await socket.one(), { pos: ["x.1"] });
  socket.say({ op: "error", code: 401, message: "expired" }).say({ op: "error", code: 401, message: "expired" });
  const auth = await socket.one();
  assert.deepEqual([auth.op, auth.token, asked], ["auth", "t2", [false, true]]);
  socket.ok(auth, { expires: Date.now() + 3_600_000, unsubscribed: ["a"] });
  await socket.assertQuiet();
  assert.deepEqual([states, codes(errors), diary.read()], [["open"], [403], ["error 403"]]);
});

test("a fresh token goes out before the old one ends, and a refusal of it is told", async (t) => {
  const asked: boolean[] = [];
  const { open, errors } = fake(t, { getToken: ({ expired }) => `t${asked.push(expired)}` });
  const begin = Date.now();
  const socket = await open({ expires: begin + 1200 });
  const auth = await socket.one();
  const after = Date.now() - begin;
  assert.ok(after >= 900 && after < 1200, `after ${after} ms`);
  socket.refuse(auth, 403);
  assert.deepEqual([asked, codes(errors)], [[false, true], [403]]);
});

test("a token that comes when the connection is another one is not sent", async (t) => {
  const { promise, resolve } = deferred<string>();
  let calls = 0;
  const { open } = fake(t, { getToken: () => (++calls === 2 ? promise : "t") });
  let socket = await open();
  socket.say({ op: "error", code: 401, message: "expired" }).end();
  socket = await open();
  resolve("late");
  await socket.assertQuiet();
});

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

test("the broker's time to come back is obeyed, whatever the network says", async (t) => {
  const target = new EventTarget();
  asPage(t, {
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
  });
  const { open, socket } = fake(t);
  const first = await open();
  const begin = Date.now();
  first.say({ op: "bye", code: 1012, reason: "draining", reconnect: 80 }).end(1012);
  target.dispatchEvent(new Event("online"));
  await socket();
  assert.ok(Date.now() - begin >= 79);
});

test("the broker's time to come back is for the next attempt alone", async (t) => {
  const { open, socket } = fake(t, { backoff: { min: 60, max: 60 } });
  (await open()).say({ op: "bye", code: 1012, reason: "draining", reconnect: 1 }).end(1012);
  const second = await socket();
  const begin = Date.now();
  second.end();
  await socket();
  assert.ok(Date.now() - begin >= 59);
});

test("who is told to try again later does so not earlier", async (t) => {
  const { open, socket } = fake(t);
  const first = await open();
  const begin = Date.now();
  first.say({ op: "error", code: 429, message: "too fast", retry: 60 }).end(4429);
  await socket();
  assert.ok(Date.now() - begin >= 59);
});

test("pauses are random, between the least and what doubles with each attempt", () => {
  for (const [attempt, most] of [
    [1, 1000],
    [2, 2000],
    [5, 16000],
    [6, 20000],
    [2000, 20000],
  ] as const) {
    const all = Array.from({ length: 500 }, () => pause(attempt, 500, 20000));
    assert.ok(Math.min(...all) >= 500 && Math.max(...all) <= most);
    assert.ok(Math.max(...all) - Math.min(...all) > (most - 500) / 2);
  }
});

test("when the network is back, or the page is looked at again, it connects at once", async (t) => {
  const [network, document] = [
    new EventTarget(),
    Object.assign(new EventTarget(), { visibilityState: "visible" }),
  ];
  asPage(t, {
    document,
    addEventListener: network.addEventListener.bind(network),
    removeEventListener: network.removeEventListener.bind(network),
  });
  const { open, sockets, client } = fake(t, { backoff: { min: 1e6, max: 1e6 } });
  (await open()).end();
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  await turn();
  assert.equal(client.state, "waiting");
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  (await open()).end();
  network.dispatchEvent(new Event("online"));
  await open();
  client.close();
  network.dispatchEvent(new Event("online"));
  await turn();
  assert.equal(sockets.length, 3);
});

test("a link that is silent for two intervals is asked, and given up without an answer", async (t) => {
  const { open, socket, client, errors } = fake(t);
  const first = await open({ ping: 0.02 });
  assert.deepEqual(await first.one(), { op: "ping" });
  first.say({ op: "pong" });
  assert.deepEqual(await first.one(), { op: "ping" });
  await until(() => client.state !== "open", "the end of the silence");
  assert.equal(first.closed, 1000);
  assert.match(errors[0]!.message, /silent/);
  await socket();
  /* What the old one says now concerns nobody. */
  first.say({ op: "welcome", session: "late" }).end();
  assert.equal(client.state, "connecting");
});

for (const [what, garbage] of Object.entries({
  "no JSON": "{",
  "no map": "[1]",
  nothing: "null",
  "a map without op": "{}",
  "bytes where text was agreed": new ArrayBuffer(3),
  "bytes that are none": '{"op":"msg","topic":"a","b64":"*"}',
})) {
  test(`a broker that sends ${what} is left, and asked again later`, async (t) => {
    const { client, open, errors } = fake(t);
    const diary = new Diary();
    client.subscribe("a", diary.options);
    let socket = await open();
    socket.ok(await socket.one(), { pos: ["x.1"] });
    socket.onmessage?.({ data: garbage });
    assert.deepEqual([client.state, errors.length, socket.readyState], ["waiting", 1, 3]);
    socket.msg("a", "x.2");
    socket = await open();
    socket.ok(await socket.one(), { pos: ["x.1"], recovered: true }).msg("a", "x.2");
    assert.deepEqual(diary.read(), ["recovered", "x.2"]);
  });
}

test("what a later version may say does no harm", async (t) => {
  const { client, open, errors } = fake(t);
  const socket = await open({ limits: undefined, ping: "often", more: 1 });
  socket.say({ op: "news", id: 7 }).say({ op: "ok", id: 999 }).say({ op: "error", id: 999, code: 500 });
  socket.say([{ op: "pong" }, { op: "gap", reason: "later" }]).say({ op: "welcome", session: "again" });
  socket.say({ op: "msg", topic: "nobody's", data: 1, pos: "x.1" }).say({ op: "error" });
  const publishing = client.publish("a", 1);
  socket.ok(await socket.one(), { pos: "x.2", more: 1 });
  assert.deepEqual(await publishing, { pos: "x.2" });
  assert.deepEqual([client.state, codes(errors)], ["open", [500]]);
});

test("before the welcome nothing counts", async (t) => {
  const { client, socket, errors } = fake(t);
  const first = await socket();
  first.readyState = 1;
  first.msg("a", "x.1").say({ op: "ok", id: 1 });
  assert.deepEqual([client.state, errors, first.sent], ["connecting", [], []]);
});

for (const code of [4400, 4403, 1008])
  test(`after ${code} the client stays away`, async (t) => {
    const { client, open, sockets, errors } = fake(t);
    (await open()).end(code);
    await turn();
    assert.deepEqual([client.state, codes(errors), sockets.length], ["closed", [code], 1]);
  });

for (const code of [1000, 1001, 1006, 1009, 1011, 1013, 4408, 4429, 4508])
  test(`after ${code} it comes back`, async (t) => {
    const { open } = fake(t);
    (await open()).end(code);
    await open();
  });

test("a refusal by status is final where it never worked, and may pass where it did", async (t) => {
  for (const status of [400, 403, 404, 426]) {
    const { client, socket } = fake(t);
    const first = await socket();
    first.onerror?.({ message: `Unexpected server response: ${status}` });
    first.end();
    assert.equal(client.state, "closed", String(status));
  }
  for (const status of [408, 429, 503]) {
    const { client, socket } = fake(t);
    const first = await socket();
    first.onerror?.({ message: `Unexpected server response: ${status}` });
    first.end();
    assert.equal(client.state, "waiting", String(status));
  }
  const { open, socket, client } = fake(t);
  (await open()).end();
  const second = await socket();
  second.onerror?.({ message: "Unexpected server response: 404" });
  second.end();
  assert.equal(client.state, "waiting");
});

test("a socket that cannot be made is an attempt that failed", async (t) => {
  let calls = 0;
  const made: FakeSocket[] = [];
  class Socket extends FakeSocket {
    constructor(url: URL, protocols: string[]) {
      if (++calls === 1) throw new SyntaxError("not allowed");
      super(url, protocols);
      made.push(this);
    }
  }
  const { errors, states } = fake(t, { WebSocket: Socket });
  await until(() => made.length === 1, "the second attempt");
  assert.match(errors[0]!.message, /not allowed/);
  assert.deepEqual(states, ["waiting", "connecting"]);
});

/** A store as localStorage is one. */
function store(text: string | null = null) {
  const kept = { text, fails: false };
  return {
    kept,
    getItem: () => kept.text,
    setItem: (_: string, value: string) => {
      if (kept.fails) throw new Error("full");
      kept.text = value;
    },
    removeItem: () => void (kept.text = null),
  };
}

test("positions in a store let the next page go on, each subscription where it was", async (t) => {
  const place = store();
  const persist: ConnectOptions = { persist: { store: place, name: "p" } };
  const page = fake(t, persist);
  page.client.subscribe(["b", "a"], () => {});
  const closed = page.client.subscribe("c", () => {});
  let socket = await page.open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: ["x.1"] });
  socket.msg("a", "x.5");
  closed.close();
  page.client.close();
  const next = fake(t, persist);
  const diary = new Diary();
  next.client.subscribe(["a", "b"], { last: 5, ...diary.options });
  next.client.subscribe("c", () => {});
  const own = next.client.subscribe("a", { since: ["y.1"], onMessage: () => {} });
  socket = await next.open();
  const requests = await socket.take(3);
  const asked = requests.map(({ topics, since, last }) => JSON.stringify([topics, since, last]));
  assert.deepEqual(asked.sort(), ['[["a","b"],["x.5"],null]', '[["a"],["y.1"],null]', '[["c"],null,null]']);
  own.close();
  socket
    .ok(requests.find(({ since }) => since?.[0] === "x.5")!, { pos: ["x.5"], recovered: true })
    .msg("a", "x.6");
  assert.deepEqual(diary.read(), ["x.6"]);
});

test("a store that holds something else, or is full, does no harm", async (t) => {
  for (const text of ["{", "5", '[["a",["nonsense",7]]]', '[["a"]]', "[5]"]) {
    const place = store(text);
    place.kept.fails = true;
    const { client, open } = fake(t, { persist: { store: place, name: "p" } });
    client.subscribe("a", () => {});
    const socket = await open();
    assert.equal((await socket.one()).since, undefined);
    client.close();
  }
});
