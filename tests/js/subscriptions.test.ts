/** Who gets which delivery, and what is asked for after a break: against a broker that the test plays. */
import assert from "node:assert/strict";
import test from "node:test";
import { Diary, fake, turn } from "./support/fake.js";
import { until } from "./support/wait.js";

test("a subscription is asked for once there is a connection, and hears what matches", async (t) => {
  const { client, open } = fake(t);
  const diary = new Diary();
  const sub = client.subscribe(["a/+", "b"], diary.options);
  const socket = await open();
  const request = await socket.one();
  assert.deepEqual(request, { op: "sub", id: request.id, topics: ["a/+", "b"] });
  socket.ok(request, { pos: ["x.4"] });
  assert.deepEqual(await sub.ready, { resumed: false });
  socket.msg("a/1", "x.5").msg("c", "x.6").msg("b", "x.7").msg("a/1/2", "x.8").msg("b", undefined);
  assert.deepEqual(diary.read(), ["x.5", "x.7", "b"]);
  assert.deepEqual(sub.positions, ["x.8"]);
});

test("what is subscribed to goes out before what is published after it", async (t) => {
  const { client, open } = fake(t);
  const socket = await open();
  client.subscribe("a", () => {});
  void client.publish("a", 1).catch(() => {});
  assert.deepEqual(
    (await socket.take(2)).map(({ op }) => op),
    ["sub", "pub"],
  );
});

test("after a break everything is asked for in one request, with the greatest position of each stream", async (t) => {
  const { client, open } = fake(t);
  const a = new Diary();
  const b = new Diary();
  client.subscribe("a", a.options);
  client.subscribe("b/#", b.options);
  let socket = await open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: ["x.9", "y.18446744073709551614"] });
  socket.msg("a", "x.10").msg("b/1", "y.18446744073709551615");
  socket.end();
  socket = await open();
  const request = await socket.one();
  assert.deepEqual(request.topics, ["a", "b/#"]);
  assert.deepEqual(new Set(request.since), new Set(["x.10", "y.18446744073709551615"]));
  socket.ok(request, { pos: request.since, recovered: true });
  socket.msg("a", "x.11").msg("b", "x.12");
  assert.deepEqual(a.read(), ["x.10", "recovered", "x.11"]);
  assert.deepEqual(b.read(), ["y.18446744073709551615", "recovered", "x.12"]);
});

test("who was not recovered is told of a gap, gets what is left, and forgets streams that are gone", async (t) => {
  const { client, open } = fake(t);
  const diary = new Diary();
  const sub = client.subscribe("a", diary.options);
  let socket = await open();
  socket
    .ok(await socket.one(), { pos: ["old.5"] })
    .msg("a", "old.6")
    .end();
  socket = await open();
  socket.ok(await socket.one(), { pos: ["new.2"], recovered: false });
  socket.msg("a", "new.3").msg("a", "new.4");
  assert.deepEqual(diary.read(), ["old.6", 'gap {"reason":"resume"}', "new.3", "new.4"]);
  assert.deepEqual(sub.positions, ["new.4"]);
  socket.end();
  socket = await open();
  assert.deepEqual((await socket.one()).since, ["new.4"]);
});

test("a broker that does not say whether it recovered did not", async (t) => {
  const { client, open } = fake(t);
  const diary = new Diary();
  client.subscribe("a", diary.options);
  let socket = await open();
  socket.ok(await socket.one(), { pos: ["x.5"] }).end();
  socket = await open();
  socket.ok(await socket.one(), { pos: ["x.5"] });
  assert.deepEqual(diary.read(), ['gap {"reason":"resume"}']);
});

test("a gap is told to who is live, and positions go on behind it", async (t) => {
  const { client, open } = fake(t);
  const diary = new Diary();
  client.subscribe("a", diary.options);
  let socket = await open();
  const request = await socket.one();
  socket.say({ op: "gap", reason: "relay", pos: [] });
  socket.ok(request, { pos: ["x.1"] });
  socket.say({ op: "gap", reason: "slow", lost: 7, pos: ["x.8", "y.3", "nonsense"] });
  socket.msg("a", "x.9");
  assert.deepEqual(diary.read(), ['gap {"reason":"slow","lost":7}', "x.9"]);
  socket.end();
  socket = await open();
  assert.deepEqual(new Set((await socket.one()).since), new Set(["x.9", "y.3"]));
});

test("a refused subscription is over, for its owner and its reader", async (t) => {
  const { client, open } = fake(t);
  const diary = new Diary();
  const handled = client.subscribe("no/1", diary.options);
  const read = client.subscribe("no/2");
  let socket = await open();
  for (const request of await socket.take(2)) socket.refuse(request, 403);
  await assert.rejects(handled.ready, { name: "FantailError", code: 403 });
  await assert.rejects(read[Symbol.asyncIterator]().next(), { code: 403 });
  assert.deepEqual(diary.read(), ["error 403"]);
  socket.end();
  socket = await open();
  await socket.assertQuiet();
});

test("of those that were asked for together, the refusal of one does not end the others", async (t) => {
  const { client, open } = fake(t);
  const [a, b] = [new Diary(), new Diary()];
  client.subscribe("a", a.options);
  client.subscribe("b", b.options);
  let socket = await open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: ["x.1"] });
  socket.end();
  socket = await open();
  socket.refuse(await socket.one(), 403);
  const [first, second] = await socket.take(2);
  assert.deepEqual([first!.topics, first!.since, second!.topics, second!.since], [["a"], ["x.1"], ["b"], ["x.1"]]);
  socket
    .refuse(first!, 403)
    .ok(second!, { pos: ["x.1"], recovered: true })
    .msg("b", "x.2");
  assert.deepEqual(a.read(), ["error 403"]);
  assert.deepEqual(b.read(), ["recovered", "x.2"]);
});

test("who is refused for now asks again when the broker says", async (t) => {
  const { client, open } = fake(t);
  const sub = client.subscribe("a", () => {});
  const socket = await open();
  const begin = Date.now();
  socket.refuse(await socket.one(), 503, { retry: 30 });
  const again = await socket.one();
  assert.ok(Date.now() - begin >= 29);
  socket.ok(again, { pos: ["x.1"] });
  assert.deepEqual(await sub.ready, { resumed: false });
});

test("closed before the answer, it is unsubscribed, and the answer and what comes late are nobody's", async (t) => {
  const { client, open, errors } = fake(t);
  const diary = new Diary();
  const sub = client.subscribe("a", diary.options);
  const socket = await open();
  const request = await socket.one();
  sub.close();
  sub.close();
  assert.deepEqual(await socket.one(), { op: "unsub", topics: ["a"] });
  socket
    .ok(request, { pos: ["x.1"] })
    .ok(request)
    .refuse(request, 500)
    .msg("a", "x.2");
  await assert.rejects(sub.ready, { name: "ClosedError" });
  await socket.assertQuiet();
  assert.deepEqual([diary.read(), errors], [[], []]);
});

test("closed before it was asked for, it is never asked for", async (t) => {
  const { client, open } = fake(t);
  client.subscribe("a", () => {}).close();
  const socket = await open();
  await socket.assertQuiet();
});

test("a filter that another one has is kept, and belongs to that one alone", async (t) => {
  const { client, open } = fake(t);
  const [a, b] = [new Diary(), new Diary()];
  const first = client.subscribe(["a", "b"], a.options);
  client.subscribe("b", b.options);
  const socket = await open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: ["x.1"] });
  first.close();
  assert.deepEqual((await socket.one()).topics, ["a"]);
  socket.msg("b", "x.2");
  assert.deepEqual([a.read(), b.read()], [[], ["x.2"]]);
});

test("a handler may close its own and others' subscriptions, and make new ones", async (t) => {
  const { client, open } = fake(t);
  const seen: string[] = [];
  const one = client.subscribe("a", () => {
    seen.push("one");
    one.close();
    two.close();
    client.subscribe("c", () => {});
  });
  const two = client.subscribe("a", () => seen.push("two"));
  const socket = await open();
  socket.ok(await socket.one(), { pos: ["x.1"] });
  socket.msg("a", "x.2").msg("a", "x.3");
  assert.deepEqual(seen, ["one"]);
  assert.deepEqual(
    (await socket.take(2)).map(({ op, topics }) => [op, topics]),
    [
      ["unsub", ["a"]],
      ["sub", ["c"]],
    ],
  );
});

test("a break in the middle of a request asks again, and the first answer is told once", async (t) => {
  const { client, open } = fake(t);
  const told: unknown[] = [];
  client.subscribe("a", { last: 3, onMessage: () => {}, onSubscribed: (subscribed) => told.push(subscribed) });
  let socket = await open();
  const request = await socket.one();
  socket.end();
  socket.ok(request, { pos: ["x.1"] });
  socket = await open();
  const again = await socket.one();
  assert.deepEqual([again.last, again.since], [3, undefined]);
  socket.ok(again, { pos: ["x.1"] });
  assert.deepEqual(told, [{ resumed: false }]);
});

test("what is closed while there is no connection is not asked for again", async (t) => {
  const { client, open } = fake(t);
  const a = client.subscribe("a", () => {});
  client.subscribe("b", () => {});
  let socket = await open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: ["x.1"] });
  socket.end();
  a.close();
  socket = await open();
  assert.deepEqual((await socket.one()).topics, ["b"]);
});

test("more filters than one session or one message takes go into several requests", async (t) => {
  const { client, open } = fake(t);
  const filters = Array.from({ length: 10 }, (_, i) => `${"long/".repeat(8)}${i}`);
  for (const filter of filters) client.subscribe(filter, () => {});
  let socket = await open();
  for (const request of await socket.take(10)) socket.ok(request, { pos: ["x.1"] });
  socket.end();
  socket = await open({ limits: { message: 600, topics: 1024, queue: 1 } });
  const requests = await socket.take(2);
  assert.ok(requests.every((request) => JSON.stringify(request).length <= 600));
  while (requests.flatMap(({ topics }) => topics).length < 10) requests.push(await socket.one());
  assert.deepEqual(
    requests.flatMap(({ topics }) => topics),
    filters,
  );
  /* One that was answered has gone on; the others resume from where they are. */
  socket
    .ok(requests[0]!, { pos: ["x.1"], recovered: true })
    .msg(filters[0]!, "x.2")
    .end();
  socket = await open();
  const after = await socket.take(2);
  assert.deepEqual(after.map(({ since }) => since?.[0]).sort(), ["x.1", "x.2"]);
  assert.deepEqual(new Set(after.flatMap(({ topics }) => topics)), new Set(filters));
});

test("filters of one subscription that no message could hold are refused here", async (t) => {
  const { client, open } = fake(t);
  const sub = client.subscribe(
    Array.from({ length: 100 }, (_, i) => `topic/${i}`),
    () => {},
  );
  const socket = await open({ limits: { message: 500, topics: 1024, queue: 1 } });
  await assert.rejects(sub.ready, { code: 413 });
  await socket.assertQuiet();
});

test("what the operator ends is not asked for again, the rest goes on", async (t) => {
  const { client, open, errors } = fake(t);
  const [a, b] = [new Diary(), new Diary()];
  client.subscribe("a", a.options);
  const both = client.subscribe(["a", "b"], b.options);
  let socket = await open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: ["x.1"] });
  socket.say({ op: "error", code: 403, message: "by the operator", unsubscribed: ["a"] });
  assert.deepEqual(a.read(), ["error 403"]);
  assert.deepEqual([b.read(), both.filters], [[], ["b"]]);
  assert.equal(errors.length, 1);
  socket.end();
  socket = await open();
  assert.deepEqual((await socket.one()).topics, ["b"]);
});

test("filters, positions and the lack of them are refused where they are written", (t) => {
  const { client } = fake(t);
  for (const filter of ["", "a/#/b", "a+", "\u0000", "\ud800", "x".repeat(256), "/".repeat(32)])
    assert.throws(() => client.subscribe(filter, () => {}), { code: 400 }, filter);
  assert.throws(() => client.subscribe([], () => {}), { code: 400 });
  for (const pos of ["", "x", "x.", "x.01", "x.-1", ".1", `${"x".repeat(65)}.1`, "x.123456789012345678901"])
    assert.throws(() => client.subscribe("a", { since: [pos], onMessage: () => {} }), { code: 400 }, pos);
});

test("a handler that throws does not keep the others from hearing", async (t) => {
  const { client, open } = fake(t);
  const diary = new Diary();
  client.subscribe("a", () => {
    throw new Error("its own");
  });
  client.subscribe("a", diary.options);
  const socket = await open();
  socket.ok(await socket.one(), { pos: ["x.1"] });
  const thrown: unknown[] = [];
  t.mock.method(globalThis, "queueMicrotask", (fail: () => void) => thrown.push(fail));
  socket.msg("a", "x.2");
  t.mock.restoreAll();
  assert.deepEqual(diary.read(), ["x.2"]);
  assert.throws(thrown[0] as () => void, { message: "its own" });
});

test("an aborted subscription ends quietly, before and after it began", async (t) => {
  const { client, open } = fake(t);
  const before = client.subscribe("a", { signal: AbortSignal.abort() });
  await assert.rejects(before.ready, { name: "AbortError" });
  assert.deepEqual(await before[Symbol.asyncIterator]().next(), { value: undefined, done: true });
  const controller = new AbortController();
  const sub = client.subscribe("b", { signal: controller.signal });
  const socket = await open();
  const request = await socket.one();
  assert.deepEqual(request.topics, ["b"]);
  socket.ok(request, { pos: ["x.1"] }).msg("b", "x.2");
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const { pos } of sub) seen.push(pos);
  })();
  await until(() => seen.length === 1, "the first message");
  controller.abort();
  await reading;
  assert.deepEqual(seen, ["x.2"]);
  assert.deepEqual(await socket.one(), { op: "unsub", topics: ["b"] });
  await turn();
});
