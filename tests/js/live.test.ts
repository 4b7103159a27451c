/** The client in Node against a real broker: what each call does, with its answers, bounds and refusals. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { BufferOverflowError, ClosedError, FantailError, QueueFullError } from "fantail";
import { msgpack } from "fantail/msgpack";
import { Broker } from "./support/broker.js";
import { Link } from "./support/link.js";
import { ROOT } from "./support/programs.js";
import { test } from "./support/test.js";
import { token, TOKEN_SETTINGS } from "./support/tokens.js";
import { until, within } from "./support/wait.js";
import { Watched } from "./support/watch.js";

const hasCode = (code: number) => (error: unknown) => error instanceof FantailError && error.code === code;

for (const [name, options] of [["JSON", {}], ["MessagePack", { codec: msgpack }]] as const) {
  test(`values arrive as they were published, bytes too, in ${name}`, async (t) => {
    const broker = await Broker.start(t);
    const { client, follow } = bound(new Watched(t, broker.ws, options));
    const all = follow<unknown>("v/#");
    await all.subscription.ready;
    const values = [null, true, 0, -1, 2 ** 53 - 1, 1.5, "", "é😀\u2028", [], [1, [2]], { a: { b: [null] } }];
    const bytes = new Uint8Array([0, 255, 128, 10]);
    for (const value of [...values, bytes]) {
      const { pos } = await client.publish("v/a", value);
      assert.match(pos!, /^\w+\.\d+$/);
    }
    const seen = await all.has(values.length + 1);
    assert.deepEqual(seen.slice(0, -1), values);
    assert.ok(seen.at(-1) instanceof Uint8Array);
    assert.deepEqual([...(seen.at(-1) as Uint8Array)], [...bytes]);
    const history = await client.history("v/a", { last: 3 });
    assert.deepEqual(history.map(({ data }) => data).slice(0, 2), values.slice(-2));
    assert.deepEqual([...(history[2]!.data as Uint8Array)], [...bytes]);
  });
}

/** Methods that can be called by themselves. */
function bound(watched: Watched) {
  return { watched, client: watched.client, follow: watched.follow.bind(watched) as Watched["follow"] };
}

test("a delivery comes over the wire once and reaches each handler whose filters match", async (t) => {
  const broker = await Broker.start(t);
  const { watched, follow } = bound(new Watched(t, broker.ws));
  const filters = [["a/#"], ["a/+"], ["a/1", "b"], ["a/1"], ["c"]];
  const followed = filters.map((each) => follow(each));
  await Promise.all(followed.map(({ subscription }) => subscription.ready));
  await broker.publish([1, 2, 3].map((n) => ({ topic: "a/1", data: n })));
  await broker.publish({ topic: "b", data: 4 });
  await followed[2]!.has(4);
  assert.deepEqual(followed.map(({ data }) => data), [[1, 2, 3], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3], []]);
  const stats = await broker.stats();
  assert.equal(stats.deliveries.json, 4);
  assert.equal(stats.sessions.json, 1);
  assert.equal(watched.errors.length, 0);
});

test("an iterator gives each message, and ends when its signal aborts", async (t) => {
  const broker = await Broker.start(t);
  const { client } = new Watched(t, broker.ws);
  const stop = new AbortController();
  const ticks = client.subscribe<number>("i", { signal: stop.signal });
  await ticks.ready;
  await broker.publish(Array.from({ length: 100 }, (_, data) => ({ topic: "i", data })));
  const seen: number[] = [];
  for await (const { data, topic, pos, at } of ticks) {
    assert.equal(topic, "i");
    assert.ok(pos && at! > Date.now() - 60_000);
    seen.push(data);
    if (data === 99) stop.abort();
  }
  assert.deepEqual(seen, Array.from({ length: 100 }, (_, n) => n));
  await until(async () => (await broker.stats()).subscriptions === 0, "the broker hears of it");
});

test("leaving the loop of an iterator ends the subscription", async (t) => {
  const broker = await Broker.start(t);
  const { client } = new Watched(t, broker.ws);
  const ticks = client.subscribe("i");
  await ticks.ready;
  await broker.publish({ topic: "i", data: 1 });
  for await (const { data } of ticks) {
    assert.equal(data, 1);
    break;
  }
  await until(async () => (await broker.stats()).subscriptions === 0, "the broker hears of it");
});

test("a reader that is too slow gets an error, or a gap where it asked for that", async (t) => {
  const broker = await Broker.start(t);
  const watched = new Watched(t, broker.ws);
  const strict = watched.client.subscribe("i", { buffer: 10 });
  const lost: number[] = [];
  const loose = watched.client.subscribe<number>("i", {
    buffer: 10,
    overflow: "drop",
    onGap: (gap) => lost.push(gap.reason === "buffer" ? gap.lost! : NaN),
  });
  const all = watched.follow("i");
  await all.subscription.ready;
  await broker.publish(Array.from({ length: 25 }, (_, data) => ({ topic: "i", data })));
  await all.has(25);
  await assert.rejects(async () => {
    for await (const _ of strict);
  }, BufferOverflowError);
  const rest: number[] = [];
  for await (const { data } of loose) if (rest.push(data) === 10) break;
  assert.deepEqual(rest, [15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
  assert.equal(lost.reduce((sum, count) => sum + count, 0), 15);
});

test("last, since and retained values give what was before", async (t) => {
  const broker = await Broker.start(t);
  const { follow, client } = bound(new Watched(t, broker.ws));
  const positions = await broker.publish([1, 2, 3].map((data) => ({ topic: "s/a", data })));
  await broker.publish({ topic: "s/b", data: "kept", retain: true });
  const last = follow("s/+", { last: 1 });
  assert.deepEqual(new Map((await last.has(2), last.seen)), new Map([["s/a", 3], ["s/b", "kept"]] as never));
  const since = follow<unknown>("s/#", { since: [positions[0]!] });
  assert.deepEqual(await since.subscription.ready, { recovered: true, resumed: false });
  assert.deepEqual(await since.has(3), [2, 3, "kept"]);
  const unknown = follow("s/#", { since: ["nowhere.7"] });
  assert.equal((await unknown.subscription.ready).recovered, false);
  assert.deepEqual(unknown.gaps, [{ reason: "resume" }]);
  const messages = await client.history<number>("s/a", { since: positions[0]! });
  assert.deepEqual(messages.map(({ data, pos }) => [data, pos]), [[2, positions[1]], [3, positions[2]]]);
});

test("every thins out and keeps the newest, while another handler gets all", async (t) => {
  const broker = await Broker.start(t);
  const { follow } = bound(new Watched(t, broker.ws));
  const few = follow("e", { every: 300 });
  const all = follow("e");
  await Promise.all([few.subscription.ready, all.subscription.ready]);
  for (let data = 0; data < 40; data++) await broker.publish({ topic: "e", data });
  await all.has(40);
  await until(() => few.data.at(-1) === 39, "the newest");
  assert.ok(few.seen.length < 20, `${few.seen.length} of 40`);
  assert.deepEqual(few.data, [...few.data].sort((a, b) => a - b));
  assert.deepEqual(all.data, Array.from({ length: 40 }, (_, n) => n));
});

test("presence tells who is there, and a ping how long it takes", async (t) => {
  const settings = "[topic \"room/+\"]\npresence = yes\n";
  const broker = await Broker.start(t, { file: settings });
  const { client, watched, follow } = bound(new Watched(t, broker.ws));
  await follow("room/1").subscription.ready;
  const { count, clients } = await client.presence("room/1");
  assert.deepEqual([count, clients.map(({ session }) => session)], [1, watched.sessions]);
  const ms = await client.ping();
  assert.ok(ms >= 0 && ms < 5000, `${ms} ms`);
});

test("what the broker refuses is an error with its code, and touches nothing else", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const ann = token({ sub: "ann", fantail: { sub: ["a/#"], pub: ["a/#"] } });
  const { client, follow, watched } = bound(new Watched(t, broker.ws, { getToken: () => ann }));
  const allowed = follow("a/1");
  const refused = follow("b/1");
  const iterated = client.subscribe("b/2");
  await assert.rejects(refused.subscription.ready, hasCode(403));
  await assert.rejects(async () => {
    for await (const _ of iterated);
  }, hasCode(403));
  assert.equal(refused.errors.length, 1);
  await allowed.subscription.ready;
  await assert.rejects(client.publish("b/1", 1), hasCode(403));
  await assert.rejects(client.publish("a/+", 1), hasCode(400));
  await assert.rejects(client.publish("a/1", "x".repeat(100_000)), hasCode(413));
  await client.publish("a/1", 1);
  assert.deepEqual(await allowed.has(1), [1]);
  assert.deepEqual([watched.client.state, watched.sessions.length], ["open", 1]);
});

test("what is published while there is no connection follows in order, within a bound", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  link.cut();
  const { client, watched } = bound(new Watched(t, link.ws, { queue: { messages: 20 } }));
  const waiting = Array.from({ length: 20 }, (_, n) => client.publish("q", n));
  await assert.rejects(client.publish("q", 20), QueueFullError);
  await until(() => watched.states.includes("waiting"), "the first attempt fails");
  link.restore();
  await within(Promise.all(waiting), "all are accepted");
  const messages = await client.history<number>("q", { last: 100 });
  assert.deepEqual(messages.map(({ data }) => data), Array.from({ length: 20 }, (_, n) => n));
});

test("a publish that is given up while it waits is never sent", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  link.cut();
  const { client } = new Watched(t, link.ws);
  const stop = new AbortController();
  const given = client.publish("g", 1, { signal: stop.signal });
  const kept = client.publish("g", 2);
  stop.abort();
  await assert.rejects(given, { name: "AbortError" });
  link.restore();
  await kept;
  assert.deepEqual((await client.history("g", { last: 9 })).map(({ data }) => data), [2]);
});

test("the same key is accepted once", async (t) => {
  const broker = await Broker.start(t);
  const { client } = new Watched(t, broker.ws);
  const first = await client.publish("k", 1, { key: "one" });
  const second = await client.publish("k", 1, { key: "one" });
  assert.deepEqual(second, { pos: first.pos, duplicate: true });
  const others = await Promise.all([1, 2].map((n) => client.publish("k", n, { key: true })));
  assert.notEqual(others[0]!.pos, others[1]!.pos);
});

test("close ends the session, the iterators and all that waits", async (t) => {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  const { client, watched } = bound(new Watched(t, link.ws));
  const iterated = client.subscribe("c");
  await iterated.ready;
  link.stall("up");
  const waiting = client.publish("c", 1);
  client.close();
  await assert.rejects(waiting, ClosedError);
  for await (const _ of iterated) assert.fail("nothing was published");
  await assert.rejects(client.publish("c", 1), ClosedError);
  assert.equal(watched.states.at(-1), "closed");
  link.restore();
  await until(async () => (await broker.stats()).sessions.json === 0, "the session ends");
  await until(() => link.open === 0, "the connection ends");
});

test("a program that closes its client comes to its end, from either kind of module", async (t) => {
  const broker = await Broker.start(t);
  const body = `const fan = connect(${JSON.stringify(broker.ws)});
    fan.publish("p", 1).then(() => { fan.close(); console.log("closed"); });`;
  const programs = [
    ["module", `import { connect } from ${JSON.stringify(`${ROOT}clients/js/dist/index.js`)}; ${body}`],
    ["commonjs", `const { connect } = require(${JSON.stringify(`${ROOT}clients/js/dist/index.cjs`)}); ${body}`],
  ] as const;
  for (const [kind, code] of programs) {
    const child = spawn(process.execPath, [`--input-type=${kind}`, "-e", code], {
      env: {},
      cwd: `${ROOT}tests`,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const said: Buffer[] = [];
    child.stdout.on("data", (bytes) => said.push(bytes));
    const [status] = await within(once(child, "close"), `the ${kind} program ends`);
    assert.deepEqual([status, String(Buffer.concat(said))], [0, "closed\n"]);
  }
});
