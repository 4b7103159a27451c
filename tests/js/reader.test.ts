/** Iterators: what waits for a slow reader is bounded, and everything ends as a loop expects. */
import assert from "node:assert/strict";
import test from "node:test";
import { fake, turn, type Fake } from "./support/fake.js";
import type { SubscribeOptions } from "../../clients/js/src/index.js";

async function subscribe({ client, open }: Fake, options: SubscribeOptions = {}) {
  const sub = client.subscribe<number>("a", options as SubscribeOptions<number>);
  const socket = await open();
  socket.ok(await socket.one(), { pos: ["x.0"] });
  return { sub, socket, iterator: sub[Symbol.asyncIterator]() };
}

test("a loop reads what came, in order, and what it leaves is unsubscribed", async (t) => {
  const { sub, socket } = await subscribe(fake(t));
  for (let i = 1; i < 5; i++) socket.msg("a", `x.${i}`, i);
  const seen: number[] = [];
  for await (const { data } of sub) if (seen.push(data) === 3) break;
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(await socket.one(), { op: "unsub", topics: ["a"] });
});

test("readers that wait get one message each", async (t) => {
  const { iterator, socket } = await subscribe(fake(t));
  const waiting = [iterator.next(), iterator.next()];
  socket.msg("a", "x.1", 1).msg("a", "x.2", 2);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ value }) => value?.data),
    [1, 2],
  );
});

test("return() ends the subscription and whoever waits for it", async (t) => {
  const { iterator, socket } = await subscribe(fake(t));
  const waiting = iterator.next();
  socket.msg("a", "x.1", 1).msg("a", "x.2", 2);
  await waiting;
  const done = { value: undefined, done: true };
  assert.deepEqual(await iterator.return!(), done);
  assert.deepEqual(await iterator.next(), done);
  assert.equal((await socket.one()).op, "unsub");
});

test("a reader that is too slow gets what the buffer held, then an error", async (t) => {
  const errors: Error[] = [];
  const { iterator, socket } = await subscribe(fake(t), { buffer: 2, onError: (error) => errors.push(error) });
  for (let i = 1; i < 6; i++) socket.msg("a", `x.${i}`, i);
  assert.deepEqual([(await iterator.next()).value?.data, (await iterator.next()).value?.data], [1, 2]);
  await assert.rejects(iterator.next(), { name: "BufferOverflowError", code: 429 });
  assert.deepEqual(await iterator.next(), { value: undefined, done: true });
  assert.deepEqual([errors.length, (await socket.one()).op], [1, "unsub"]);
});

test("or the newest, and is told how many it missed", async (t) => {
  const gaps: unknown[] = [];
  const { iterator, socket } = await subscribe(fake(t), {
    buffer: 2,
    overflow: "drop",
    onGap: (gap) => gaps.push(gap),
  });
  for (let i = 1; i < 6; i++) socket.msg("a", `x.${i}`, i);
  assert.deepEqual([(await iterator.next()).value?.data, (await iterator.next()).value?.data], [4, 5]);
  assert.deepEqual(gaps, [{ reason: "buffer", lost: 3 }]);
});

test("positions are those of what was read", async (t) => {
  const { sub, iterator, socket } = await subscribe(fake(t));
  socket.msg("a", "x.1", 1).msg("a", "x.2", 2).msg("a", "y.7", 3);
  assert.deepEqual(new Set(sub.positions), new Set(["x.0", "y.6"]));
  await iterator.next();
  assert.deepEqual(new Set(sub.positions), new Set(["x.1", "y.6"]));
  await iterator.next();
  await iterator.next();
  assert.deepEqual(new Set(sub.positions), new Set(["x.2", "y.7"]));
});

test("a reader sees nothing of a reconnect", async (t) => {
  const made = fake(t);
  const { iterator, socket } = await subscribe(made);
  socket.msg("a", "x.1", 1).end();
  const next = await made.open();
  next.ok(await next.one(), { pos: ["x.1"], recovered: true }).msg("a", "x.2", 2);
  assert.deepEqual([(await iterator.next()).value?.data, (await iterator.next()).value?.data], [1, 2]);
});

test("when the broker will not have the client, readers are told why; when it is closed, they end", async (t) => {
  const refused = fake(t);
  const one = await subscribe(refused);
  const waiting = one.iterator.next();
  one.socket.end(4403, "by the operator");
  await assert.rejects(waiting, { code: 4403, message: "by the operator" });
  const closed = fake(t);
  const other = await subscribe(closed);
  other.socket.msg("a", "x.1", 1);
  closed.client.close();
  assert.deepEqual((await other.iterator.next()).value?.data, 1);
  assert.deepEqual(await other.iterator.next(), { value: undefined, done: true });
});

test("a subscription with a handler cannot be read", async (t) => {
  const { client } = fake(t);
  const sub = client.subscribe("a", () => {});
  assert.throws(() => sub[Symbol.asyncIterator](), TypeError);
  await turn();
});
