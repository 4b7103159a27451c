/** Tokens in Node: fresh ones before they are needed, sessions that outlive them, and refusals. */
import assert from "node:assert/strict";
import { ClosedError, FantailError, type ConnectOptions } from "fantail";
import { Broker } from "./support/broker.js";
import { type Scope } from "./support/cleanup.js";
import { Feed } from "./support/feed.js";
import { whole } from "./support/ledger.js";
import { Link } from "./support/link.js";
import { test } from "./support/test.js";
import { token, TOKEN_SETTINGS } from "./support/tokens.js";
import { until } from "./support/wait.js";
import { Watched } from "./support/watch.js";

const ANN = { sub: "ann", fantail: { sub: ["#"], pub: ["#"], admin: true } };
const SETTINGS = { ...TOKEN_SETTINGS, "auth.leeway": "0s", "auth.grace": "2s", "auth.anonymous_pub": "f" };

type Why = Parameters<NonNullable<ConnectOptions["getToken"]>>[0];

/** A client whose tokens come from `give`, and what it was asked for. */
async function guarded(scope: Scope, give: (why: Why, times: number) => string | null | Promise<string>) {
  const broker = await Broker.start(scope, { settings: SETTINGS });
  const link = await Link.to(scope, broker);
  const asked: boolean[] = [];
  const getToken = (why: Why) => give(why, asked.push(why.expired));
  return { broker, link, asked, watched: new Watched(scope, link.ws, { getToken }) };
}

test("a session outlives its tokens, one after the other, and misses nothing", async (t) => {
  const { broker, asked, watched } = await guarded(t, () => token(ANN, { expiresIn: 1.5 }));
  const all = watched.follow("f");
  await all.subscription.ready;
  const feed = new Feed(t, [broker], ["f"], { everyMs: 10 });
  await until(() => asked.length >= 4, "three fresh tokens");
  const ledger = await feed.stop();
  await all.has(ledger.accepted);
  assert.deepEqual(ledger.judge(all.seen), whole(ledger));
  assert.deepEqual([watched.sessions.length, watched.client.state, all.gaps], [1, "open", []]);
  assert.deepEqual(watched.errors, []);
});

test("a token that is fetched late is still in time for the session", async (t) => {
  let give!: (token: string) => void;
  const late = new Promise<string>((done) => (give = done));
  const { broker, asked, watched } = await guarded(t, (_, times) =>
    times === 1 ? token(ANN, { expiresIn: 1.2 }) : late,
  );
  await watched.opened();
  // With a session that has no token, whose answer says that the other's has expired by now, too.
  const old = token(ANN, { expiresIn: 1.2 });
  await until(async () => (await broker.get("/v1/stats", old)).status === 401, "the token has expired");
  assert.ok(asked.length >= 2);
  give(token(ANN));
  await watched.client.publish("a", 1);
  assert.deepEqual([watched.sessions.length, watched.client.state], [1, "open"]);
});

test("a fresh token is fetched before each attempt to come back", async (t) => {
  const { link, asked, watched } = await guarded(t, (_, times) => token({ ...ANN, sub: `ann${times}` }));
  await watched.opened();
  assert.equal(watched.client.welcome!.user, "ann1");
  link.drop();
  await until(() => watched.sessions.length === 2, "it is back");
  assert.equal(watched.client.welcome!.user, `ann${asked.length}`);
  assert.ok(asked.length >= 2 && asked.every((expired) => !expired));
});

test("a session whose token is not renewed ends, and goes on with the next good one", async (t) => {
  let isGood = true;
  const { broker, asked, watched } = await guarded(t, () =>
    isGood ? token(ANN, { expiresIn: 1.2 }) : token(ANN, { expiresIn: -5 }),
  );
  const all = watched.follow("f");
  await all.subscription.ready;
  const feed = new Feed(t, [broker], ["f"], { everyMs: 10 });
  isGood = false;
  const codes = () => watched.errors.map((error) => (error as FantailError).code);
  await until(() => codes().includes(4401) || codes().includes(401), "the broker ends it");
  await until(() => watched.client.state !== "open", "the broker ends it");
  isGood = true;
  await until(() => watched.sessions.length === 2, "it is back");
  await until(() => all.recovered.length === 1, "it is resumed");
  assert.ok(asked.includes(true), "it is told that the last token was refused");
  const ledger = await feed.stop();
  await all.has(ledger.accepted);
  assert.deepEqual(ledger.judge(all.seen), whole(ledger));
});

test("a client whose tokens are never any good closes with the broker's 401", async (t) => {
  const { asked, watched } = await guarded(t, () => token(ANN, { secret: "x".repeat(32) }));
  const waiting = watched.client.publish("a", 1);
  const followed = watched.follow("a");
  const saysWhy = (error: unknown) =>
    error instanceof ClosedError && (error.cause as FantailError).code === 401 && /401/.test(error.message);
  for (const each of [waiting, followed.subscription.ready]) await assert.rejects(each, saysWhy);
  assert.deepEqual(followed.errors.map((error) => (error as FantailError).code), [401]);
  assert.equal(watched.client.state, "closed");
  assert.deepEqual(asked, [false, true]);
  assert.deepEqual([...new Set(watched.errors.map((error) => (error as FantailError).code))], [401]);
});

test("a client that the operator disconnects stays away", async (t) => {
  const { broker, watched } = await guarded(t, () => token(ANN));
  const all = watched.follow("f");
  await all.subscription.ready;
  await broker.post("/v1/disconnect", { user: "ann" }, token(ANN));
  await until(() => watched.client.state === "closed", "it is closed");
  assert.equal((watched.errors.at(-1) as FantailError).code, 4403);
  assert.equal((all.errors[0] as FantailError).code, 4403);
  assert.equal(watched.sessions.length, 1);
});
