/** A client in Node under observation: its states, and what its subscriptions are told. */
import { connect, type Client, type ConnectOptions, type Gap, type State, type Subscribed, type SubscribeOptions, type Subscription } from "fantail";
import { atEnd, type Scope } from "./cleanup.js";
import { until } from "./wait.js";

export class Watched {
  readonly client: Client;
  readonly states: State[];
  readonly sessions: string[] = [];
  readonly errors: Error[] = [];

  /** Pauses between attempts are short, unless the options say otherwise. */
  constructor(scope: Scope, url: string, options: ConnectOptions = {}) {
    this.client = connect(url, { backoff: { min: 10, max: 100 }, ...options });
    this.states = [this.client.state];
    this.client.on("state", (state) => this.states.push(state));
    this.client.on("welcome", (welcome) => this.sessions.push(welcome.session));
    this.client.on("error", (error) => this.errors.push(error));
    atEnd(scope, () => this.client.close());
  }

  async opened(): Promise<void> {
    await until(() => this.client.state === "open", () => `open, not ${this.states} ${this.errors}`);
  }

  follow<T = number>(filters: string | string[], options: SubscribeOptions<T> = {}): Followed<T> {
    return new Followed<T>(this.client, filters, options);
  }
}

/** What a subscription was told, in its order. */
export class Followed<T> {
  readonly subscription: Subscription<T>;
  readonly seen: [topic: string, data: T][] = [];
  readonly gaps: Gap[] = [];
  readonly subscribed: Subscribed[] = [];
  readonly recovered: Subscribed[] = [];
  readonly errors: Error[] = [];

  constructor(client: Client, filters: string | string[], options: SubscribeOptions<T>) {
    this.subscription = client.subscribe<T>(filters, {
      onMessage: (message) => this.seen.push([message.topic, message.data]),
      onGap: (gap) => this.gaps.push(gap),
      onSubscribed: (subscribed) => this.subscribed.push(subscribed),
      onRecovered: (subscribed) => this.recovered.push(subscribed),
      onError: (error) => this.errors.push(error),
      ...options,
    });
  }

  get data(): T[] {
    return this.seen.map(([, data]) => data);
  }

  /** Waits for so many messages. */
  async has(count: number): Promise<T[]> {
    await until(() => this.seen.length >= count, () => `${count} messages, not ${this.seen.length}`);
    return this.data;
  }
}
