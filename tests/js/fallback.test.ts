/** Where WebSockets do not get through, event streams do; and where they do again, they are used again. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { fallBack } from "../../clients/js/src/events.js";
import { connect } from "../../clients/js/src/index.js";
import { json } from "../../clients/js/src/json.js";
import type { Ending, Envelope, OpenTransport, Transport } from "../../clients/js/src/transport.js";
import { openWebSocket } from "../../clients/js/src/websocket.js";
import { Broker } from "./support/broker.js";
import { atEnd } from "./support/cleanup.js";
import { Gate } from "./support/gate.js";
import { token, TOKEN_SETTINGS } from "./support/tokens.js";
import { until } from "./support/wait.js";

/** A browser does not tell the status of a WebSocket that was refused. */
const blind: OpenTransport = (options, handlers) =>
  openWebSocket(options, {
    ...handlers,
    onEnd: ({ code, reason }) => handlers.onEnd({ code, reason }),
  });

interface Opened {
  transport: Transport;
  heard: Envelope[];
  ending: Ending | undefined;
}

function open(t: TestContext, how: OpenTransport, at: { ws: string }, given: string | null = null): Opened {
  const opened = { heard: [], ending: undefined } as unknown as Opened;
  opened.transport = how(
    { url: new URL(at.ws), token: given, codec: json },
    { onEnvelope: (envelope) => void opened.heard.push(envelope), onEnd: (ending) => (opened.ending = ending) },
  );
  atEnd(t, () => opened.transport.close());
  return opened;
}

async function behindGate(t: TestContext) {
  const broker = await Broker.start(t);
  return { broker, gate: await Gate.to(t, broker) };
}

test("two failures later the client is there by events", async (t) => {
  const { broker, gate } = await behindGate(t);
  let attempts = 0;
  /** What a browser's is behind such a proxy: it fails, and does not say why. */
  class Blocked {
    onclose: (event: { code: number; reason: string }) => void = () => undefined;
    constructor() {
      attempts++;
      setTimeout(() => this.onclose({ code: 1006, reason: "" }));
    }
    close(): void {}
  }
  const fan = connect(gate.ws, { WebSocket: Blocked, backoff: { min: 1, max: 10 } });
  atEnd(t, () => fan.close());
  const seen: unknown[] = [];
  fan.subscribe("t", (message) => void seen.push(message.data));
  await until(() => fan.state === "open", "open");
  assert.equal(attempts, 3); // the third one beside the request over HTTP
  await fan.publish("t", "through");
  await until(() => seen.length === 1, "the message");
  assert.equal((await broker.stats()).sessions.events, 1);
});

test("a status that says why is no reason for events", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const fan = connect(broker.ws, { backoff: { min: 1, max: 10 }, getToken: () => "not.a.token" });
  const errors: unknown[] = [];
  fan.on("error", (error) => errors.push((error as { code?: number }).code));
  await until(() => fan.state === "closed", "closed");
  assert.ok(errors.length > 0 && errors.every((code) => code === 401), String(errors));
});

test("a WebSocket that gets through wins", async (t) => {
  const { gate } = await behindGate(t);
  gate.lets = true;
  const { transport, heard } = open(t, fallBack(blind), gate);
  await until(() => heard.length > 0, "the welcome");
  assert.equal(heard[0]!.op, "welcome");
  assert.notEqual(heard[0]!.node, "");
  transport.send({ op: "ping", id: 1 });
  await until(() => heard.length === 2, "the pong");
  assert.deepEqual(heard[1], { op: "ok", id: 1 });
});

test("events give way once WebSockets get through", async (t) => {
  const { broker, gate } = await behindGate(t);
  const how = fallBack(blind, { patience: 500, again: 100 });
  const first = open(t, how, gate);
  await until(() => first.heard.length > 0, "the welcome");
  first.transport.send({ op: "sub", id: 1, topics: ["t"] });
  await until(() => first.heard.length === 2, "the ok");
  const { upgrades } = gate;
  await until(() => gate.upgrades > upgrades + 1, "it tries now and then");
  assert.equal(first.ending, undefined);
  gate.lets = true;
  await until(() => first.ending, "it ends");
  assert.equal(first.ending!.retry, 0);
  const second = open(t, how, gate);
  await until(() => second.heard.length > 0, "the next one");
  assert.notEqual(second.heard[0]!.node, "");
  await until(async () => (await broker.stats()).sessions.events === 0, "the stream is gone");
});

test("what fails both ways ends once, and HTTP may say why", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  const gate = await Gate.to(t, broker);
  const refused = open(t, fallBack(blind), gate, token({ sub: "ann" }, { expiresIn: -60 }));
  await until(() => refused.ending, "the end");
  assert.equal(refused.ending!.status, 401);
  await broker.kill();
  const lost = open(t, fallBack(blind), gate);
  await until(() => lost.ending, "the end");
  assert.equal(lost.ending!.status, undefined);
  assert.deepEqual([refused.heard, lost.heard], [[], []]);
});

test("a token that ends is renewed, and the stream goes on", async (t) => {
  const broker = await Broker.start(t, { settings: TOKEN_SETTINGS });
  let asked = 0;
  const claims = { sub: "ann", fantail: { sub: ["t"], pub: ["t"] } };
  const getToken = (): string => token(claims, { expiresIn: asked++ ? 60 : 2 });
  const fan = connect(broker.ws, { transports: ["events"], getToken });
  atEnd(t, () => fan.close());
  const seen: unknown[] = [];
  const states: string[] = [];
  fan.on("state", (state) => states.push(state));
  await fan.subscribe("t", (message) => void seen.push(message.data)).ready;
  assert.equal(fan.welcome!.user, "ann");
  await until(() => asked === 2, "a fresh token is asked for");
  await until(async () => (await broker.stats(token({ fantail: { admin: true } }))).sessions_opened.events >= 2, "another stream");
  await fan.publish("t", 1);
  await until(() => seen.length === 1, "the message");
  assert.deepEqual(states, ["open"]);
});
