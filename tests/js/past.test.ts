/** Subscriptions of one client that ask for different parts of the past, or for less, and whose filters overlap:
 * each gets what is its own, once, in order. The broker is played by the test, as SPEC sections 4 and 5 have it. */
import assert from "node:assert/strict";
import test from "node:test";
import { Diary, fake, type Fake, type FakeSocket } from "./support/fake.js";
import { until } from "./support/wait.js";

/** Subscribes, and answers what is asked for with where the feed starts. */
async function subscribe(
  { client }: Fake,
  socket: FakeSocket,
  filter: string,
  pos: string,
  options: { last?: number; every?: number; since?: string[] } = {},
) {
  const diary = new Diary();
  const sub = client.subscribe(filter, { ...options, ...diary.options });
  const request = await socket.one();
  socket.ok(request, options.since ? { pos: [pos], recovered: true } : { pos: [pos] });
  return { diary, sub, request };
}

test("what a rewind brings goes to who asked for it, and to nobody who had it", async (t) => {
  const f = fake(t);
  const socket = await f.open();
  const live = await subscribe(f, socket, "a/#", "x.10");
  socket.msg("a/b", "x.11").msg("a/c", "x.12");
  const { diary, request } = await subscribe(f, socket, "a/b", "x.12", { last: 2 });
  assert.equal(request.last, 2);
  socket.msg("a/b", "x.9").msg("a/b", "x.11").msg("a/b", "x.13").msg("a/b", "x.14");
  assert.deepEqual(diary.read(), ["x.9", "x.11", "x.13", "x.14"]);
  assert.deepEqual(live.diary.read(), ["x.11", "x.12", "x.13", "x.14"]);
  socket.end();
  const next = await f.open();
  const again = await next.one();
  assert.deepEqual([again.topics, again.since, again.last], [["a/#", "a/b"], ["x.14"], undefined]);
});

test("the same rewind by two at once is one request", async (t) => {
  const f = fake(t);
  const [a, b] = [new Diary(), new Diary()];
  f.client.subscribe("a", { last: 2, ...a.options });
  f.client.subscribe("a", { last: 2, ...b.options });
  const socket = await f.open();
  socket
    .ok(await socket.one(), { pos: ["x.5"] })
    .msg("a", "x.4")
    .msg("a", "x.5")
    .msg("a", "x.6");
  await socket.assertQuiet();
  assert.deepEqual(
    [a.read(), b.read()],
    [
      ["x.4", "x.5", "x.6"],
      ["x.4", "x.5", "x.6"],
    ],
  );
});

test("two that would disturb each other's past are asked for one after the other", async (t) => {
  const f = fake(t);
  const [a, b, c] = [new Diary(), new Diary(), new Diary()];
  f.client.subscribe("a/#", { last: 1, ...a.options });
  f.client.subscribe("a/b", { last: 5, ...b.options });
  f.client.subscribe("c", { last: 5, ...c.options });
  const socket = await f.open();
  const [first, other] = await socket.take(2);
  assert.deepEqual([first!.topics, other!.topics], [["a/#"], ["c"]]);
  socket
    .ok(first!, { pos: ["x.5"] })
    .ok(other!, { pos: ["x.5"] })
    .msg("a/b", "x.3")
    .msg("a/c", "x.5");
  const second = await socket.one();
  assert.deepEqual([second.topics, second.last], [["a/b"], 5]);
  socket
    .ok(second, { pos: ["x.5"] })
    .msg("a/b", "x.2")
    .msg("a/b", "x.3");
  assert.deepEqual([a.read(), b.read(), c.read()], [["x.3", "x.5"], ["x.2", "x.3"], []]);
});

test("last values go to who subscribes, not again to who had them", async (t) => {
  const f = fake(t);
  const socket = await f.open();
  const old = await subscribe(f, socket, "a/#", "x.10");
  const kept = { retained: true };
  socket.msg("a/b", "x.3", 1, kept).msg("a/c", "x.4", 1, kept).msg("a/b", "x.11");
  const fresh = await subscribe(f, socket, "a/#", "x.11");
  socket.msg("a/c", "x.4", 1, kept).msg("a/b", "x.11", 1, kept).msg("a/b", "x.12");
  assert.deepEqual(old.diary.read(), ["x.3", "x.4", "x.11", "x.12"]);
  assert.deepEqual(fresh.diary.read(), ["x.4", "x.11", "x.12"]);
});

test("last values do not move positions, and come again after a resume that did not recover", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  const { diary, sub } = await subscribe(f, socket, "a/#", "x.10");
  socket.msg("a/b", "y.3", 1, { retained: true }).msg("a/b", "x.2", 1, { retained: true });
  assert.deepEqual(sub.positions, ["x.10"]);
  socket.end();
  socket = await f.open();
  socket.ok(await socket.one(), { pos: ["z.0"], recovered: false }).msg("a/b", "y.3", 1, { retained: true });
  assert.deepEqual(diary.read(), ["y.3", "x.2", 'gap {"reason":"resume"}', "y.3"]);
});

test("who begins at positions gets everything after them, though others had it already", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  const old = await subscribe(f, socket, "a/#", "x.10");
  socket.msg("a/b", "x.11").msg("a/c", "x.12").msg("a/b", "x.13");
  const { diary, request } = await subscribe(f, socket, "a/b", "x.10", { since: ["x.10"] });
  /* What came by the other filter would not come again, were that not named. */
  assert.deepEqual([request.topics, request.since], [["a/b", "a/#"], ["x.10"]]);
  socket.msg("a/b", "x.11").msg("a/c", "x.12").msg("a/b", "x.13").msg("a/c", "x.14").msg("a/b", "x.15");
  assert.deepEqual(old.diary.read(), ["x.11", "x.12", "x.13", "x.14", "x.15"]);
  assert.deepEqual(diary.read(), ["x.11", "x.13", "x.15"]);
  socket.end();
  socket = await f.open();
  const again = await socket.one();
  assert.deepEqual([again.topics, again.since], [["a/#", "a/b"], ["x.15"]]);
});

test("who has not caught up when the connection breaks goes on by itself", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  const old = await subscribe(f, socket, "a/#", "x.50");
  const { diary } = await subscribe(f, socket, "a/b", "x.10", { since: ["x.10"] });
  socket.msg("a/b", "x.11").msg("a/b", "x.12");
  socket.end();
  socket = await f.open();
  const [first, second] = await socket.take(2);
  assert.deepEqual([first!.topics, first!.since], [["a/#"], ["x.50"]]);
  assert.deepEqual([second!.topics, second!.since], [["a/b"], ["x.12"]]);
  socket.ok(first!, { pos: ["x.50"], recovered: true }).ok(second!, { pos: ["x.12"], recovered: true });
  socket.msg("a/b", "x.13").msg("a/b", "x.51").msg("a/c", "x.52");
  assert.deepEqual(old.diary.read(), ["recovered", "x.51", "x.52"]);
  assert.deepEqual(diary.read(), ["x.11", "x.12", "recovered", "x.13", "x.51"]);
});

test("a quiet one that began at positions is carried on by what comes for others", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  await subscribe(f, socket, "busy", "x.50");
  await subscribe(f, socket, "quiet", "x.10", { since: ["x.10"] });
  socket.msg("busy", "x.51").end();
  socket = await f.open();
  const again = await socket.one();
  assert.deepEqual([again.topics, again.since], [["busy", "quiet"], ["x.51"]]);
});

test("those that begin at the same positions are asked for together", async (t) => {
  const f = fake(t);
  const [a, b] = [new Diary(), new Diary()];
  f.client.subscribe("a", { since: ["x.5", "y.1"], ...a.options });
  f.client.subscribe("b", { since: ["x.5", "y.1"], last: 3, ...b.options });
  const socket = await f.open();
  const request = await socket.one();
  assert.deepEqual([request.topics, request.since, request.last], [["a", "b"], ["x.5", "y.1"], undefined]);
  socket
    .ok(request, { pos: ["x.7", "y.1"], recovered: false })
    .msg("a", "x.8")
    .msg("b", "x.9");
  const gap = 'gap {"reason":"resume"}';
  assert.deepEqual(
    [a.read(), b.read()],
    [
      [gap, "x.8"],
      [gap, "x.9"],
    ],
  );
});

test("a filter whose subscriptions stand at different places is asked for from the earlier one", async (t) => {
  const f = fake(t);
  const [a, b] = [new Diary(), new Diary()];
  f.client.subscribe("a", { since: ["x.5"], ...a.options });
  f.client.subscribe("a", { since: ["x.8"], ...b.options });
  const socket = await f.open();
  const requests = await socket.take(2);
  assert.deepEqual(
    requests.map(({ since }) => since),
    [["x.5"], ["x.5"]],
  );
  for (const request of requests) socket.ok(request, { pos: ["x.5"], recovered: true });
  for (let i = 6; i < 11; i++) socket.msg("a", `x.${i}`);
  assert.deepEqual(
    [a.read(), b.read()],
    [
      ["x.6", "x.7", "x.8", "x.9", "x.10"],
      ["x.9", "x.10"],
    ],
  );
});

test("one filter with and without `every` comes at once, and is thinned out for who wants less", async (t) => {
  const f = fake(t);
  const [all, few] = [new Diary(), new Diary()];
  f.client.subscribe("a/#", all.options);
  f.client.subscribe("a/#", { every: 150, ...few.options });
  let socket = await f.open();
  const requests = await socket.take(2);
  for (const request of requests) socket.ok(request, { pos: ["x.0"] });
  assert.deepEqual(
    requests.map(({ every }) => every),
    [undefined, undefined],
  );
  const begin = Date.now();
  socket.msg("a/1", "x.1").msg("a/2", "x.2").msg("a/1", "x.3").msg("a/1", "x.4");
  assert.deepEqual(few.read(), ["x.1", "x.2"]);
  await until(() => few.lines.length > 0, "the newest at the end of the window");
  assert.ok(Date.now() - begin >= 145);
  socket.msg("a/1", "x.5").msg("a/2", "x.6");
  assert.deepEqual(few.read(), ["x.4", "x.6"]);
  await until(() => few.lines.length > 0, "the next window");
  assert.deepEqual([few.read(), all.read().length], [["x.5"], 6]);
  socket.end();
  socket = await f.open();
  assert.deepEqual(
    (await socket.take(2)).map(({ since, every }) => [since, every]),
    [
      [["x.6"], undefined],
      [["x.6"], undefined],
    ],
  );
});

test("positions do not go past what waits for the end of a window", async (t) => {
  const f = fake(t);
  const few = new Diary();
  f.client.subscribe("a", () => {});
  const sub = f.client.subscribe("a", { every: 60_000, ...few.options });
  const socket = await f.open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: ["x.0"] });
  socket.msg("a", "x.1");
  assert.deepEqual(sub.positions, ["x.1"]);
  socket.msg("a", "x.2").msg("a", "x.3");
  assert.deepEqual(sub.positions, ["x.2"]);
});

test("who wants less resumes by itself, from before what the broker may have held back", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  const all = await subscribe(f, socket, "a", "x.10");
  const few = await subscribe(f, socket, "+", "x.10", { every: 1000 });
  assert.equal(few.request.every, 1000);
  socket.msg("b", "x.11").msg("a", "x.13").msg("a", "x.14").end();
  socket = await f.open();
  const requests = await socket.take(2);
  assert.deepEqual(
    requests.map(({ topics, since, every }) => [topics, since, every]),
    [
      [["a"], ["x.14"], undefined],
      [["+"], ["x.11"], 1000],
    ],
  );
  socket.ok(requests[0]!, { pos: ["x.14"], recovered: true }).ok(requests[1]!, { pos: ["x.11"], recovered: true });
  /* b's last one was held back; a's have come to both. */
  socket.msg("b", "x.12").msg("a", "x.13").msg("a", "x.14").msg("a", "x.15");
  assert.deepEqual(all.diary.read(), ["x.13", "x.14", "recovered", "x.15"]);
  const heard = few.diary.read();
  assert.deepEqual(heard.filter((line) => line !== "recovered").slice(0, 3), ["x.11", "x.13", "x.12"]);
});

test("what is not kept has no position, and its subscribers are told that some may be missing", async (t) => {
  const f = fake(t);
  const diary = new Diary();
  f.client.subscribe("live", diary.options);
  let socket = await f.open();
  socket
    .ok(await socket.one())
    .msg("live", undefined)
    .end();
  socket = await f.open();
  const again = await socket.one();
  assert.equal(again.since, undefined);
  socket.ok(again).msg("live", undefined);
  assert.deepEqual(diary.read(), ["live", 'gap {"reason":"resume"}', "live"]);
});

test("who wanted the latest gets all of a life of the broker that it did not know", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  const { diary } = await subscribe(f, socket, "a/#", "old.10", { last: 3 });
  const plain = await subscribe(f, socket, "a/b", "old.10");
  socket.msg("a/b", "old.11").end();
  socket = await f.open();
  const request = await socket.one();
  assert.deepEqual([request.topics, request.since], [["a/#", "a/b"], ["old.11"]]);
  socket.ok(request, { pos: ["new.2", "other.0"], recovered: false }).msg("a/b", "new.3");
  const again = await socket.one();
  assert.deepEqual(
    [again.topics, again.since],
    [
      ["a/#", "a/b"],
      ["new.0", "other.0"],
    ],
  );
  socket.msg("a/c", "new.4");
  socket.ok(again, { pos: ["new.0", "other.0"], recovered: true });
  for (let i = 1; i < 6; i++) socket.msg(i === 4 ? "a/c" : "a/b", `new.${i}`);
  const gap = 'gap {"reason":"resume"}';
  assert.deepEqual(diary.read(), ["old.11", gap, "new.1", "new.2", "new.3", "new.4", "new.5"]);
  assert.deepEqual(plain.diary.read(), ["old.11", gap, "new.3", "new.5"]);
  socket.end();
  socket = await f.open();
  assert.deepEqual(new Set((await socket.one()).since), new Set(["new.5", "other.0"]));
});

test("a life in which nothing was published, or of which nothing is left, is not asked for again", async (t) => {
  const f = fake(t);
  const diary = new Diary();
  f.client.subscribe("a", { last: 3, since: ["old.1"], ...diary.options });
  let socket = await f.open();
  socket.ok(await socket.one(), { pos: ["new.0"], recovered: false });
  await socket.assertQuiet();
  socket.msg("a", "new.1").end();
  socket = await f.open();
  socket.ok(await socket.one(), { pos: ["next.900"], recovered: false });
  const again = await socket.one();
  assert.deepEqual(again.since, ["next.0"]);
  socket.ok(again, { pos: ["next.500"], recovered: false }).msg("a", "next.501");
  await socket.assertQuiet();
  const gap = 'gap {"reason":"resume"}';
  assert.deepEqual(diary.read(), [gap, "new.1", gap, "next.501"]);
});

test("a break while a life is asked for asks for it once more", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  const { diary } = await subscribe(f, socket, "a", "old.10", { last: 3 });
  socket.end();
  socket = await f.open();
  socket.ok(await socket.one(), { pos: ["new.2"], recovered: false });
  await socket.one();
  socket.end();
  socket = await f.open();
  const again = await socket.one();
  assert.deepEqual(again.since, ["new.0"]);
  socket
    .ok(again, { pos: ["new.0"], recovered: true })
    .msg("a", "new.1")
    .msg("a", "new.2");
  assert.deepEqual(diary.read(), ['gap {"reason":"resume"}', "recovered", "new.1", "new.2"]);
});

test("what was on its way when others asked for the past does not come twice", async (t) => {
  const f = fake(t);
  const socket = await f.open();
  const old = await subscribe(f, socket, "a", "x.10");
  const diary = new Diary();
  f.client.subscribe("a", { since: ["x.8"], ...diary.options });
  const request = await socket.one();
  socket.msg("a", "x.11").ok(request, { pos: ["x.8"], recovered: true });
  for (let i = 9; i < 13; i++) socket.msg("a", `x.${i}`);
  assert.deepEqual(old.diary.read(), ["x.11", "x.12"]);
  assert.deepEqual(diary.read(), ["x.9", "x.10", "x.11", "x.12"]);
});

test("who is catching up does not get again what it had when another one reaches further back", async (t) => {
  const f = fake(t);
  const socket = await f.open();
  await subscribe(f, socket, "a", "x.50");
  const first = await subscribe(f, socket, "a", "x.10", { since: ["x.10"] });
  socket.msg("a", "x.11").msg("a", "x.12");
  const second = await subscribe(f, socket, "a", "x.9", { since: ["x.9"] });
  for (let i = 10; i < 14; i++) socket.msg("a", `x.${i}`);
  assert.deepEqual(first.diary.read(), ["x.11", "x.12", "x.13"]);
  assert.deepEqual(second.diary.read(), ["x.10", "x.11", "x.12", "x.13"]);
});

test("what came by a faster filter does not come again with the resume of a slower one", async (t) => {
  const f = fake(t);
  let socket = await f.open();
  await subscribe(f, socket, "a", "x.10");
  const slow = await subscribe(f, socket, "+", "x.10", { every: 1 });
  socket.msg("a", "x.11").end();
  socket = await f.open();
  for (const request of await socket.take(2)) socket.ok(request, { pos: request.since, recovered: true });
  socket.msg("a", "x.11").msg("a", "x.12");
  await until(() => slow.diary.lines.includes("x.12"), "the new one");
  assert.deepEqual(slow.diary.read(), ["x.11", "recovered", "x.12"]);
});
