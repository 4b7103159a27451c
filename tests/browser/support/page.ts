/**
 * What runs in the page of a test: a client, and records of what its subscriptions were told. The test reads them
 * through `probe`. It is served as a module, with the built package as "fantail".
 */
import { connect, type Client, type ConnectOptions, type Gap, type Subscribed, type SubscribeOptions, type Subscription } from "fantail";

/** What a subscription was told, in its order. */
export interface Followed {
  seen: [topic: string, data: unknown][];
  gaps: Gap[];
  subscribed: Subscribed[];
  recovered: number;
  error: string | null;
  ended: boolean;
}

/** Options that can be sent into a page. */
export interface PageOptions extends Pick<ConnectOptions, "transports" | "shared" | "backoff" | "queue"> {
  msgpack?: boolean;
  /** Tokens come from the function of this name, which the test has exposed. */
  getToken?: string;
  /** Positions are kept in sessionStorage, under this name. */
  persist?: string;
}

type Plain = Pick<SubscribeOptions, "since" | "last" | "every">;

class Probe {
  client!: Client;
  readonly states: string[] = [];
  readonly sessions: string[] = [];
  readonly errors: { name: string; code: number | undefined; message: string }[] = [];
  private readonly subscriptions: Subscription[] = [];
  private readonly followed: Followed[] = [];

  async connect(url: string, options: PageOptions = {}): Promise<void> {
    const { msgpack, getToken, persist, ...rest } = options;
    const all: ConnectOptions = rest;
    if (msgpack) all.codec = (await import("fantail/msgpack")).msgpack;
    if (getToken) {
      const ask = (globalThis as unknown as Record<string, (expired: boolean) => Promise<string>>)[getToken]!;
      all.getToken = ({ expired }) => ask(expired);
    }
    if (persist) all.persist = { store: sessionStorage, name: persist };
    this.client = connect(url, all);
    this.states.push(this.client.state);
    this.client.on("state", (state) => this.states.push(state));
    this.client.on("welcome", (welcome) => this.sessions.push(welcome.session));
    this.client.on("error", (error) => {
      this.errors.push({ name: error.name, code: (error as { code?: number }).code, message: error.message });
    });
  }

  /** Subscribes; the record's number is the place among the calls. */
  async follow(filters: string | string[], options: Plain = {}): Promise<Subscribed> {
    const record: Followed = { seen: [], gaps: [], subscribed: [], recovered: 0, error: null, ended: false };
    this.followed.push(record);
    const subscription = this.client.subscribe(filters, {
      ...options,
      onMessage: (message) => record.seen.push([message.topic, message.data]),
      onGap: (gap) => record.gaps.push(gap),
      onSubscribed: (subscribed) => record.subscribed.push(subscribed),
      onRecovered: () => (record.recovered += 1),
      onError: (error) => (record.error = String(error)),
    });
    this.subscriptions.push(subscription);
    return subscription.ready;
  }

  /** A record, as it is now. */
  record(number = 0): Followed {
    return this.followed[number]!;
  }

  count(number = 0): number {
    return this.record(number).seen.length;
  }

  unfollow(number = 0): void {
    this.subscriptions[number]!.close();
  }
}

declare global {
  var probe: Probe;
}
globalThis.probe = new Probe();
