/** A publisher of its own, over HTTP and with keys, so that each number is accepted exactly once. */
import type { Broker } from "./broker.js";
import { atEnd, type Scope } from "./cleanup.js";
import { Ledger } from "./ledger.js";
import { pause } from "./wait.js";

const TRY_MS = 2000; // an answer that has not come by then is asked for again, with the same keys

const LAST_MS = 10_000; // how long the last ones may take when the feed is to end

export interface FeedOptions {
  /** Publications in one request (1). */
  batch?: number;
  /** The time from one request to the next (2 ms); what took longer is made up for. */
  everyMs?: number;
  /** What to publish (the number itself). */
  data?: (number: number) => unknown;
  /** Publishes nothing twice: for a broker that forgets keys when it is killed. */
  once?: boolean;
  /** The publisher's token, where the broker asks for one. */
  token?: string;
}

/** Publishes to topics in turn until it is stopped. */
export class Feed {
  readonly ledger = new Ledger();
  private readonly run: Promise<void>;
  private endBy = Infinity;

  /** `nodes`: where to publish; the next one is asked when one does not answer. */
  constructor(
    scope: Scope,
    private readonly nodes: readonly Broker[],
    private readonly topics: readonly string[],
    private readonly options: FeedOptions = {},
  ) {
    atEnd(scope, () => this.stop());
    this.run = this.publish();
    this.run.catch(() => {}); // stop() tells
  }

  /** Ends it, and returns the ledger: all that it says is accepted was. */
  async stop(): Promise<Ledger> {
    this.endBy = Math.min(this.endBy, performance.now() + LAST_MS);
    await this.run;
    return this.ledger;
  }

  private async publish(): Promise<void> {
    const { batch = 1, everyMs = 2 } = this.options;
    const began = performance.now();
    for (let turn = 0; this.endBy === Infinity; turn++) {
      await this.settle(this.topics[turn % this.topics.length]!, batch);
      const ahead = began + (turn + 1) * everyMs - performance.now();
      if (ahead > 0) await pause(ahead);
    }
  }

  /** Publishes the next ones of a topic until each was accepted. */
  private async settle(topic: string, batch: number): Promise<void> {
    const first = this.ledger.next(topic);
    const { data = (number: number) => number, once = false } = this.options;
    const publications = Array.from({ length: batch }, (_, index) => ({
      topic,
      data: data(first + index),
      key: `${topic}-${first + index}`,
    }));
    for (let attempt = 0; !(await this.attempt(publications, attempt)); attempt++) {
      if (once) {
        this.ledger.doubt(topic, batch);
        return;
      }
      if (performance.now() > this.endBy) throw new Error(`${topic}: no node takes publications`);
      await pause(10);
    }
    this.ledger.accept(topic, batch);
  }

  private async attempt(publications: object[], attempt: number): Promise<boolean> {
    const node = this.nodes[attempt % this.nodes.length]!;
    const { token } = this.options;
    try {
      const answer = await fetch(`${node.http}/v1/publish`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
        body: JSON.stringify(publications),
        signal: AbortSignal.timeout(TRY_MS),
      });
      const { results } = (await answer.json()) as { results?: { error?: unknown }[] };
      return answer.ok && results!.every((result) => !result.error);
    } catch {
      return false; // gone, or no answer: the keys make it safe to ask again
    }
  }
}
