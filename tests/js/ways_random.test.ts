/**
 * Clients that subscribe, resume and leave at random while topics are published to and the network breaks: by event
 * streams, and in tabs that share a connection of either kind. Each has to see of each topic what is its own, from
 * the very place that it named, in order and without a hole.
 */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { FantailClient } from "../../clients/js/src/client.js";
import { openEvents } from "../../clients/js/src/events.js";
import { Hubs } from "../../clients/js/src/hub.js";
import { json } from "../../clients/js/src/json.js";
import { portOf } from "../../clients/js/src/port.js";
import { openPort } from "../../clients/js/src/shared-port.js";
import type { OpenTransport } from "../../clients/js/src/transport.js";
import type { Gap, Message, SubscribeOptions } from "../../clients/js/src/types.js";
import { openWebSocket } from "../../clients/js/src/websocket.js";
import { Broker } from "./support/broker.js";
import { atEnd } from "./support/cleanup.js";
import { Link } from "./support/link.js";
import { pause, until } from "./support/wait.js";

const SEED = Number(process.env.FANTAIL_SEED ?? 1);
const CLIENTS = 4;
const ROUNDS = 4;
const TOPICS = ["r/1", "r/2", "r/3", "q/1"];
const FILTERS = ["r/#", "r/+", "#", "+/1", "r/1", "r/2", "q/#"];
const MATCHES: Record<string, string[]> = {
  "r/#": ["r/1", "r/2", "r/3"], "r/+": ["r/1", "r/2", "r/3"], "#": TOPICS, "+/1": ["r/1", "q/1"],
  "r/1": ["r/1"], "r/2": ["r/2"], "q/#": ["q/1"],
};

/** Numbers from 0 to 1 that are the same each time (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Publishes to the topics in turn, and knows where each publication stands. */
class Publisher {
  readonly published: { topic: string; number: number; pos: string }[] = [];
  private isOver = false;
  private readonly run: Promise<void>;

  constructor(t: TestContext, private readonly broker: Broker) {
    this.run = this.publish();
    atEnd(t, () => this.stop());
  }

  private async publish(): Promise<void> {
    for (let number = 0; !this.isOver; number++) {
      const batch = TOPICS.map((topic) => ({ topic, data: number }));
      const poses = await this.broker.publish(batch);
      for (const [i, pos] of poses.entries()) this.published.push({ topic: TOPICS[i]!, number, pos });
      await pause(3);
    }
  }

  /** The first number of a topic behind a position. */
  firstAfter(topic: string, pos: string): number {
    const at = this.published.findIndex((one) => one.pos === pos);
    return this.published.slice(at + 1).find((one) => one.topic === topic)?.number ?? Infinity;
  }

  stop(): Promise<void> {
    this.isOver = true;
    return this.run;
  }
}

/** One subscription: what was asked for, and what came. */
class Look {
  readonly seen: Message<number>[] = [];
  readonly gaps: Gap[] = [];

  constructor(readonly filter: string, readonly options: SubscribeOptions, readonly client: FantailClient) {}

  numbers(topic: string): number[] {
    return this.seen.filter((message) => message.topic === topic).map(({ data }) => data);
  }

  judge(publisher: Publisher): void {
    const { filter, options, gaps } = this;
    assert.deepEqual(gaps, []);
    for (const topic of MATCHES[filter]!) {
      const numbers = this.numbers(topic);
      const what = `${topic} by ${filter} ${JSON.stringify(options)}`;
      const first = numbers[0] ?? 0;
      const at = numbers.findIndex((n, i) => n !== first + i);
      assert.equal(at, -1, `${what}: after ${numbers.slice(Math.max(0, at - 3), at)} comes ${numbers.slice(at, at + 4)}`);
      if (options.since) assert.equal(first, publisher.firstAfter(topic, options.since[0]!), what);
    }
    const strange = this.seen.filter(({ topic }) => !MATCHES[filter]!.includes(topic));
    assert.deepEqual(strange, []);
  }
}

function draw(dice: () => number, publisher: Publisher): [string, SubscribeOptions] {
  const filter = FILTERS[Math.floor(dice() * FILTERS.length)]!;
  const kind = dice();
  const { published } = publisher;
  if (kind < 0.4) return [filter, { since: [published[Math.floor(dice() * published.length)]!.pos] }];
  return [filter, kind < 0.7 ? { last: 1 + Math.floor(dice() * 5) } : {}];
}

async function follow(t: TestContext, open: () => OpenTransport, seed: number): Promise<void> {
  const broker = await Broker.start(t);
  const link = await Link.to(t, broker);
  const publisher = new Publisher(t, broker);
  await until(() => publisher.published.length > 40, "publications");
  const dice = random(seed);
  const clients = Array.from({ length: CLIENTS }, () => {
    const client = new FantailClient(new URL(link.ws), { backoff: { min: 5, max: 50 } });
    (client as unknown as { open_: OpenTransport }).open_ = open();
    atEnd(t, () => client.close());
    return client;
  });
  let isOver = false;
  const cutter = (async () => {
    while (!isOver) {
      await pause(400);
      link.drop();
    }
  })();
  atEnd(t, () => {
    isOver = true;
    return cutter;
  });
  await Promise.all(
    clients.map(async (client) => {
      for (let round = 0; round < ROUNDS; round++) {
        const [filter, options] = draw(dice, publisher);
        const look = new Look(filter, options, client);
        const sub = client.subscribe<number>(filter, {
          ...options,
          onMessage: (message) => void look.seen.push(message),
          onGap: (gap) => void look.gaps.push(gap),
        });
        await sub.ready;
        const end = publisher.published.at(-1)!.number + 10 + Math.floor(dice() * 60);
        const rest = (): string => `${filter} up to ${end}: ${look.numbers(MATCHES[filter]![0]!).at(-1)}`;
        await until(() => MATCHES[filter]!.every((topic) => (look.numbers(topic).at(-1) ?? -1) >= end), rest);
        sub.close();
        look.judge(publisher);
      }
    }),
  );
}

/** What a browser has one of. */
function place(upstream: OpenTransport): () => OpenTransport {
  const hubs = new Hubs(() => upstream, () => Promise.resolve(json), undefined);
  return () =>
    ({ url, token, codec }, handlers) => {
      const { port1, port2 } = new MessageChannel();
      hubs.accept(portOf(port1 as unknown as MessagePort));
      const hello = { url: url.href, token, codec: codec.subprotocol, transports: undefined, lock: undefined };
      return openPort(portOf(port2 as unknown as MessagePort), hello, handlers);
    };
}

const about = `(FANTAIL_SEED=${SEED})`;

test(`event streams bring each its own ${about}`, (t) => follow(t, () => openEvents, SEED));

test(`a connection that tabs share brings each its own ${about}`, (t) => follow(t, place(openWebSocket), SEED));

test(`so does an event stream that tabs share ${about}`, (t) => follow(t, place(openEvents), SEED));
