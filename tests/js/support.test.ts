/** The instruments that the other tests are judged with: they find what they are there to find. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";
import { Broker } from "./support/broker.js";
import { startCluster } from "./support/cluster.js";
import { atEnd, type Scope } from "./support/cleanup.js";
import { Feed } from "./support/feed.js";
import { Gate } from "./support/gate.js";
import { Ledger, whole } from "./support/ledger.js";
import { Link } from "./support/link.js";
import { test } from "./support/test.js";
import { token, TOKEN_SETTINGS } from "./support/tokens.js";
import { until } from "./support/wait.js";

/** A server that sends back what it gets. */
async function echo(scope: Scope): Promise<{ port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  atEnd(scope, () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return server.address() as AddressInfo;
}

/** A connection, and what it has heard. */
function call(scope: Scope, port: number): { socket: Socket; heard: () => string } {
  const socket = createConnection(port, "127.0.0.1");
  atEnd(scope, () => socket.destroy());
  let heard = "";
  socket.setEncoding("utf8").on("data", (text) => (heard += text));
  socket.on("error", () => {});
  return { socket, heard: () => heard };
}

test("a ledger finds what is lost, doubled, out of order and strange", () => {
  const ledger = new Ledger();
  ledger.accept("a", 3);
  ledger.accept("b", 2);
  ledger.doubt("b");
  assert.deepEqual(ledger.judge([["a", 0], ["a", 1], ["b", 0], ["a", 2], ["b", 1]]), whole(ledger));
  const bad = ledger.judge([["a", 2], ["a", 1], ["a", 1], ["b", 0], ["b", 2], ["b", 3], ["c", 0]]);
  assert.deepEqual(bad, { accepted: 5, lost: 2, doubled: 1, reordered: 1, strange: 2 });
});

test("a link passes bytes, and breaks connections when it is cut", async (t) => {
  const link = await Link.to(t, await echo(t));
  const { socket, heard } = call(t, link.port);
  socket.write("one");
  await until(() => heard() === "one", "the echo");
  link.cut();
  await until(() => socket.destroyed, "the connection breaks");
  const refused = call(t, link.port);
  await until(() => refused.socket.destroyed, "the next one breaks");
  assert.equal(link.accepted, 1);
  link.restore();
  const again = call(t, link.port);
  again.socket.write("two");
  await until(() => again.heard() === "two", "the echo");
});

test("a link that stalls keeps connections open, and what was held back follows", async (t) => {
  for (const way of ["up", "down", "both"] as const) {
    const link = await Link.to(t, await echo(t));
    const { socket, heard } = call(t, link.port);
    socket.write("a");
    await until(() => heard() === "a", "the echo");
    link.stall(way);
    socket.write("b");
    const late = call(t, link.port);
    late.socket.write("c");
    // A barrier: what goes through another link at the same time has long arrived.
    const other = call(t, (await Link.to(t, await echo(t))).port);
    other.socket.write("d");
    await until(() => other.heard() === "d", "the echo");
    assert.deepEqual([heard(), late.heard(), socket.destroyed, link.open], ["a", "", false, 2]);
    link.restore();
    await until(() => heard() === "ab" && late.heard() === "c", "what was held back");
  }
});

test("a gate lets requests and streams pass, and refuses upgrades", async (t) => {
  const broker = await Broker.start(t);
  const gate = await Gate.to(t, broker);
  assert.equal((await fetch(`${gate.http}/healthz`)).status, 200);
  const leave = new AbortController();
  const events = await fetch(`${gate.http}/v1/events?topic=t`, { signal: leave.signal });
  const first = await events.body!.getReader().read();
  assert.match(new TextDecoder().decode(first.value), /"op":"ok"/);
  leave.abort();
  await until(async () => (await broker.stats()).sessions.events === 0, "the stream ends at the broker");

  const upgrade = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
  for (const status of [400, 101]) {
    const { socket, heard } = call(t, Number(new URL(gate.http).port));
    socket.write(upgrade);
    await until(() => heard().startsWith(`HTTP/1.1 ${status} `), `status ${status}, not ${heard()}`);
    gate.lets = true;
  }
  assert.equal(gate.upgrades, 2);
});

test("a broker takes the tokens that are made here, until they expire", async (t) => {
  const broker = await Broker.start(t, { settings: { ...TOKEN_SETTINGS, "auth.leeway": "0s" } });
  const claims = { sub: "ann", fantail: { pub: ["t"] } };
  await broker.publish({ topic: "t", data: 1 }, token(claims));
  for (const bad of [token(claims, { expiresIn: -1 }), token(claims, { secret: "another".repeat(5) })]) {
    await assert.rejects(broker.publish({ topic: "t", data: 1 }, bad), /401/);
  }
});

test("a feed loses and doubles nothing while nodes are killed", async (t) => {
  const nodes = await startCluster(t);
  const feed = new Feed(t, nodes, ["f/a", "f/b"], { everyMs: 10 });
  for (const node of nodes) {
    const count = feed.ledger.accepted;
    await until(() => feed.ledger.accepted > count + 20, "the feed goes on");
    await node.kill();
    await node.restart();
    await node.waitReady();
  }
  const ledger = await feed.stop();
  const seen: [string, number][] = [];
  for (const topic of ["f/a", "f/b"]) {
    const { body } = await nodes[0]!.get(`/v1/history?topic=${topic}&last=1000`);
    const { messages } = body as { messages: { data: number }[] };
    seen.push(...messages.map(({ data }): [string, number] => [topic, data]));
  }
  assert.deepEqual(ledger.judge(seen), whole(ledger));
});
