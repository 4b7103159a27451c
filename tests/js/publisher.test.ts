/** Every publication settles exactly once: accepted, refused, or lost, with or without a connection. */
import assert from "node:assert/strict";
import test from "node:test";
import { fake, turn } from "./support/fake.js";

/** What became of a promise so far, as text; each settling is noted. */
function watch(promise: Promise<unknown>): string[] {
  const seen: string[] = [];
  promise.then(
    (value) => seen.push(JSON.stringify(value)),
    (error: Error & { code?: number }) => seen.push(`${error.name} ${error.code}`),
  );
  return seen;
}

test("what is published before there is a connection goes out in its order, and each gets its answer", async (t) => {
  const { client, open } = fake(t);
  const one = watch(client.publish("a", { n: 1 }, { retain: true, ttl: 60, key: "k" }));
  const two = watch(client.publish("b", null));
  const socket = await open();
  const [first, second] = await socket.take(2);
  assert.deepEqual(first, {
    op: "pub",
    topic: "a",
    data: { n: 1 },
    retain: true,
    ttl: 60,
    key: "k",
    id: first!.id,
  });
  assert.deepEqual(second, { op: "pub", topic: "b", data: null, id: second!.id });
  socket.ok(second!).ok(first!, { pos: "x.1", duplicate: true }).ok(first!, { pos: "x.2" }).refuse(second!, 500);
  await turn();
  assert.deepEqual([one, two], [['{"pos":"x.1","duplicate":true}'], ["{}"]]);
});

test("a refusal is an error with the broker's code", async (t) => {
  const { client, open } = fake(t);
  const publishing = client.publish("a", 1);
  const socket = await open();
  socket.refuse(await socket.one(), 429, { retry: 250, message: "too fast" });
  await assert.rejects(publishing, { name: "FantailError", code: 429, retry: 250, message: "too fast" });
});

test("without a key, what had no answer when the connection broke may have been accepted", async (t) => {
  const { client, open } = fake(t);
  const publishing = client.publish("a", 1);
  let socket = await open();
  await socket.one();
  socket.end();
  await assert.rejects(publishing, { name: "ConnectionLostError", code: 504 });
  socket = await open();
  await socket.assertQuiet();
});

test("with a key it is sent again, before what waited behind it", async (t) => {
  const { client, open } = fake(t);
  const [one, two] = [watch(client.publish("a", 1, { key: true })), watch(client.publish("a", 2, { key: true }))];
  let socket = await open();
  const sent = await socket.take(2);
  assert.ok(sent[0]!.key !== sent[1]!.key && typeof sent[0]!.key === "string");
  socket.ok(sent[1]!, { pos: "x.2" }).end();
  const three = watch(client.publish("a", 3));
  socket = await open();
  const again = await socket.take(2);
  assert.deepEqual([again[0], again[1]!.data], [sent[0], 3]);
  socket.ok(again[0]!, { pos: "x.1", duplicate: true }).ok(again[1]!, { pos: "x.3" });
  await turn();
  assert.deepEqual([one, two, three], [['{"pos":"x.1","duplicate":true}'], ['{"pos":"x.2"}'], ['{"pos":"x.3"}']]);
});

test("a key is not trusted for longer than the broker remembers it", async (t) => {
  const { client, open } = fake(t);
  const publishing = client.publish("a", 1, { key: "k" });
  let socket = await open();
  await socket.one();
  const now = Date.now();
  socket.end();
  t.mock.method(Date, "now", () => now + 100_001);
  socket = await open();
  await assert.rejects(publishing, { name: "ConnectionLostError" });
  t.mock.restoreAll();
  await socket.assertQuiet();
});

test("what the broker cannot take just now is repeated when it says, if it has a key", async (t) => {
  const { client, open } = fake(t);
  const keyed = watch(client.publish("a", 1, { key: "k" }));
  const plain = watch(client.publish("a", 2));
  const hopeless = watch(client.publish("a", 3, { key: "l" }));
  const socket = await open();
  const [first, second, third] = await socket.take(3);
  const begin = Date.now();
  socket.refuse(first!, 503, { retry: 30 }).refuse(second!, 503, { retry: 30 }).refuse(third!, 503);
  const again = await socket.one();
  assert.ok(Date.now() - begin >= 29);
  assert.deepEqual(again, first);
  socket.ok(again, { pos: "x.1" });
  await turn();
  assert.deepEqual([keyed, plain, hopeless], [['{"pos":"x.1"}'], ["FantailError 503"], ["FantailError 503"]]);
});

test("after a 504, what is refused later may still have been accepted", async (t) => {
  const { client, open } = fake(t);
  const keyed = watch(client.publish("a", 1, { key: "k" }));
  const plain = watch(client.publish("a", 2));
  const socket = await open();
  const [first, second] = await socket.take(2);
  socket.refuse(first!, 504, { retry: 1 }).refuse(second!, 504, { retry: 1 });
  socket.refuse(await socket.one(), 503);
  await turn();
  assert.deepEqual([keyed, plain], [["ConnectionLostError 504"], ["ConnectionLostError 504"]]);
});

test("what waits to be repeated when the connection breaks goes out with the next one, once", async (t) => {
  const { client, open } = fake(t);
  const keyed = watch(client.publish("a", 1, { key: "k" }));
  let socket = await open();
  socket.refuse(await socket.one(), 503, { retry: 20 }).end();
  socket = await open();
  const again = await socket.one();
  /* Another one, whose time comes after the first one's would have. */
  void client.publish("b", 2, { key: "l" }).catch(() => {});
  socket.refuse(await socket.one(), 503, { retry: 30 });
  assert.equal((await socket.one()).topic, "b");
  await socket.assertQuiet();
  socket.ok(again, { pos: "x.1" });
  await turn();
  assert.deepEqual(keyed, ['{"pos":"x.1"}']);
});

test("the queue is bounded in number", async (t) => {
  const { client, open } = fake(t, { queue: { messages: 2 } });
  const all = [1, 2, 3].map((n) => watch(client.publish("a", n)));
  await turn();
  assert.deepEqual(all, [[], [], ["QueueFullError 429"]]);
  const socket = await open();
  for (const request of await socket.take(2)) socket.ok(request);
  await turn();
  assert.deepEqual(all, [["{}"], ["{}"], ["QueueFullError 429"]]);
  /* The bound is for what waits: while there is a connection nothing does. */
  for (let i = 0; i < 5; i++) void client.publish("a", i).catch(() => {});
  await socket.take(5);
});

test("the queue is bounded in bytes", async (t) => {
  const { client } = fake(t, { queue: { bytes: 1800 } });
  const all = ["é".repeat(400), "x".repeat(1000), "y"].map((text) => watch(client.publish("a", text)));
  await turn();
  assert.deepEqual(all, [[], ["QueueFullError 429"], []]);
});

test("what is longer than the broker takes is refused here", async (t) => {
  const { client, open } = fake(t);
  const early = watch(client.publish("a", "é".repeat(300)));
  const socket = await open({ limits: { message: 500, topics: 1, queue: 1 } });
  await assert.rejects(client.publish("a", "x".repeat(500)), { code: 413 });
  await socket.assertQuiet();
  assert.deepEqual(early, ["FantailError 413"]);
});

test("what is no publication is refused here", async (t) => {
  const { client } = fake(t);
  const loop: Record<string, unknown> = {};
  loop.loop = loop;
  for (const [topic, data] of [
    ["a/+", 1],
    ["", 1],
    ["a", undefined],
    ["a", loop],
    ["a", 1n],
  ] as const)
    await assert.rejects(client.publish(topic, data), { name: "FantailError", code: 400 });
});

test("bytes are published as base64 in JSON", async (t) => {
  const { client, open } = fake(t);
  void client.publish("a", Uint8Array.of(0, 1, 254, 255)).catch(() => {});
  void client.publish("a", new Uint8Array(0)).catch(() => {});
  const socket = await open();
  assert.deepEqual(
    (await socket.take(2)).map(({ b64, data }) => [b64, data]),
    [
      ["AAH+/w==", undefined],
      ["", undefined],
    ],
  );
});

test("an aborted publication is given up: before, while it waits, and when it is out", async (t) => {
  const { client, open } = fake(t);
  const [waits, out] = [new AbortController(), new AbortController()];
  const before = watch(client.publish("a", 1, { signal: AbortSignal.abort() }));
  const waiting = watch(client.publish("a", 2, { signal: waits.signal }));
  const sent = watch(client.publish("a", 3, { signal: out.signal, key: "k" }));
  waits.abort();
  let socket = await open();
  const request = await socket.one();
  assert.equal(request.data, 3);
  out.abort();
  socket.ok(request, { pos: "x.1" });
  await turn();
  assert.deepEqual([before, waiting, sent], Array(3).fill(["AbortError 20"]));
  socket.end();
  socket = await open();
  await socket.assertQuiet();
});

test("close() settles everything at once, and nothing is taken after it", async (t) => {
  const { client, open, sockets, states } = fake(t);
  const all = [client.publish("a", 1), client.history("a"), client.presence("a"), client.ping()].map(watch);
  const sub = client.subscribe("a");
  const reading = sub[Symbol.asyncIterator]().next();
  const socket = await open();
  await socket.take(5);
  all.push(watch(client.publish("b", 1, { key: true })));
  client.close();
  client.close();
  all.push(watch(client.publish("a", 1)));
  await turn();
  assert.deepEqual(all, Array(6).fill(["ClosedError 503"]));
  assert.deepEqual(await reading, { value: undefined, done: true });
  await assert.rejects(sub.ready, { name: "ClosedError" });
  assert.throws(() => client.subscribe("a", () => {}), { name: "ClosedError" });
  socket.end(1000);
  assert.deepEqual([client.state, states, socket.closed, sockets.length], ["closed", ["open", "closed"], 1000, 1]);
});

test("close() before there was a connection leaves nothing behind", async (t) => {
  const { client, sockets } = fake(t);
  const publishing = watch(client.publish("a", 1));
  client.close();
  await turn();
  assert.deepEqual([publishing, sockets.length], [["ClosedError 503"], 0]);
});

test("questions are asked again after a break", async (t) => {
  const { client, open } = fake(t);
  const history = client.history("a", { since: "x.1", limit: 2 });
  const presence = client.presence("a");
  const ping = client.ping();
  let socket = await open();
  await socket.take(3);
  socket.end();
  socket = await open();
  const [first, second, third] = await socket.take(3);
  assert.deepEqual(first, { op: "history", topic: "a", since: "x.1", limit: 2, id: first!.id });
  socket.ok(first!, {
    messages: [
      { pos: "x.2", at: 5, data: 1 },
      { topic: "a", pos: "x.3", at: 6, b64: "AQI=" },
    ],
  });
  socket.ok(second!, { count: 1, clients: [{ session: "s", user: null, since: 7 }] }).ok(third!);
  assert.deepEqual(await history, [
    { topic: "a", pos: "x.2", at: 5, data: 1 },
    { topic: "a", pos: "x.3", at: 6, data: Uint8Array.of(1, 2) },
  ]);
  assert.deepEqual(await presence, { count: 1, clients: [{ session: "s", user: null, since: 7 }] });
  assert.ok((await ping) >= 0);
});

test("between a bye and the end nothing more goes out, and nothing of it is lost", async (t) => {
  const { client, open } = fake(t);
  let socket = await open();
  socket.say({ op: "bye", code: 1012, reason: "draining", reconnect: 1 });
  const publishing = watch(client.publish("a", 1));
  client.subscribe("a", () => {});
  await socket.assertQuiet();
  socket.end(1012);
  socket = await open();
  const [sub, pub] = await socket.take(2);
  assert.deepEqual([sub!.op, pub!.op], ["sub", "pub"]);
  socket.ok(pub!, { pos: "x.1" });
  await turn();
  assert.deepEqual(publishing, ['{"pos":"x.1"}']);
});
