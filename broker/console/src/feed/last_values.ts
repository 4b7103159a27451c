/**
 * The latest publication of topics that are in sight. It is asked for with `history` and not
 * subscribed to: a subscription to a topic can make this page present there. A few questions are
 * under way at a time, and a topic is asked again only when something has been published to it.
 */
import { signal } from "@preact/signals";
import type { Client, Message } from "fantail";
import type { TopicFigures } from "../model/tree.js";

export interface LastValue {
  /** Of the topic when it was asked. */
  publications: number;
  message?: Message;
  /** Why there is none. */
  note?: string;
}

const AT_ONCE = 4;
const KEPT = 2000;

export class LastValues {
  onChange = (): void => {};
  /** Another number whenever there is another value: what shows one reads it. */
  readonly version = signal(0);
  readonly #client: Client;
  readonly #values = new Map<string, LastValue>();
  #wanted: TopicFigures[] = [];
  #running = 0;
  #isClosed = false;

  constructor(client: Client) {
    this.#client = client;
  }

  get(topic: string): LastValue | undefined {
    return this.#values.get(topic);
  }

  /** Asks for those that have changed; what was wanted before and not asked yet is forgotten. */
  want(topics: readonly TopicFigures[]): void {
    this.#wanted = topics.filter((each) => {
      return this.#values.get(each.topic)?.publications !== each.publications;
    });
    this.#goOn();
  }

  close(): void {
    this.#isClosed = true;
    this.#wanted = [];
  }

  #goOn(): void {
    while (this.#running < AT_ONCE && this.#wanted.length > 0) {
      const next = this.#wanted.shift();
      if (next) void this.#ask(next);
    }
  }

  async #ask({ topic, publications, retained }: TopicFigures): Promise<void> {
    this.#running += 1;
    let value: LastValue;
    try {
      const [message] = await this.#client.history(topic, { last: 1 });
      const note = retained ? "a last value, older than the history" : "not kept";
      value = message ? { publications, message } : { publications, note };
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      value = { publications, note: code === 403 ? "you may not read this topic" : "not known" };
      // What is over a limit is not asked for more often.
      if (code === 429) this.#wanted = [];
    }
    this.#running -= 1;
    if (this.#isClosed) return;
    this.#keep(topic, value);
    this.version.value += 1;
    this.onChange();
    this.#goOn();
  }

  #keep(topic: string, value: LastValue): void {
    this.#values.delete(topic);
    this.#values.set(topic, value);
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= KEPT) break;
      this.#values.delete(oldest);
    }
  }
}
