/** What users of the package see: the shapes of options, messages and of the client itself. */

/** A position, `<stream>.<offset>`: where in a stream a publication stands (SPEC section 4). */
export type Position = string;

/** One publication as it reaches a subscriber. Bytes are a `Uint8Array` in either encoding. */
export interface Message<T = unknown> {
  topic: string;
  data: T;
  /** Absent for ephemeral topics. */
  pos?: Position;
  /** When the broker accepted it, unix ms. */
  at?: number;
  /** It is its topic's last value, given because of the subscription. */
  retained?: boolean;
}

/**
 * Something is missing, or may be. `slow`, `expired` and `relay` are the broker's words; `resume`: a
 * connection came back and not everything between could be recovered; `buffer`: the reader of an
 * iterator with `overflow: "drop"` was too slow.
 */
export interface Gap {
  reason: "slow" | "expired" | "relay" | "resume" | "buffer";
  /** How many publications, where that is known. */
  lost?: number;
}

/** What a (re)subscription came to. */
export interface Subscribed {
  /** True when nothing was missed since the positions asked for; absent where none were. */
  recovered?: boolean;
  /** It is not the first one of this subscription. */
  resumed: boolean;
}

export interface SubscribeOptions<T = unknown> {
  /** Deliver what came after these positions first. */
  since?: readonly Position[];
  /** Deliver up to so many latest publications of each matching topic first. After a reconnect to a
   * broker that has lost its memory, everything that was published there since comes. */
  last?: number;
  /** At most one publication per topic and so many milliseconds, the newest. */
  every?: number;
  /** Ends the subscription when it aborts; an iterator then ends without an error. */
  signal?: AbortSignal;
  /** Messages that may wait for the reader of an iterator (1024). */
  buffer?: number;
  /** What an iterator does when they are more: it throws a `BufferOverflowError` (the default), or
   * drops the oldest and reports a gap. */
  overflow?: "error" | "drop";
  /** Given, messages are handed to it, and the subscription cannot be iterated. */
  onMessage?: (message: Message<T>) => void;
  onGap?: (gap: Gap) => void;
  /** After each reconnect that recovered everything. */
  onRecovered?: (subscribed: Subscribed) => void;
  /** After the broker's `ok`, the first and each later one. */
  onSubscribed?: (subscribed: Subscribed) => void;
  /** The broker refused or ended it: it is over. An iterator throws the same error. */
  onError?: (error: Error) => void;
}

/** A live subscription. Handlers and iterators of one filter share what comes over the wire. */
export interface Subscription<T = unknown> extends AsyncIterable<Message<T>> {
  readonly filters: readonly string[];
  /** Settles with the broker's first answer. */
  readonly ready: Promise<Subscribed>;
  /** The greatest position of each stream that this subscription has seen: `since` of a later one. */
  readonly positions: Position[];
  close(): void;
}

export interface PublishOptions {
  /** Keep it as the topic's last value; `data: null` clears it. */
  retain?: boolean;
  /** Seconds that it is kept. */
  ttl?: number;
  /** Makes the publication idempotent within 120 s, so that it is sent again by itself after a lost
   * connection. `true` makes a random one. */
  key?: string | true;
  /** Gives up; what was sent already may have been accepted. */
  signal?: AbortSignal;
}

export interface Published {
  /** Absent for ephemeral topics. */
  pos?: Position;
  /** The same key was published before; `pos` is that one's. */
  duplicate?: boolean;
}

export interface HistoryOptions {
  last?: number;
  since?: Position;
  limit?: number;
}

export interface PresenceInfo {
  count: number;
  clients: { session: string; user: string | null; since: number }[];
}

/** `connecting`: a connection is being made; `open`: it is up; `waiting`: for the next attempt, or for
 * the network; `closed`: for good, by `close()` or because the broker will not have this client. */
export type State = "connecting" | "open" | "waiting" | "closed";

/** The broker's `welcome`. */
export interface Welcome {
  version: number;
  session: string;
  node: string;
  user: string | null;
  ping: number;
  limits: { message: number; topics: number; queue: number };
  expires?: number;
}

export interface Events {
  state: (state: State) => void;
  welcome: (welcome: Welcome) => void;
  /** What concerns no single request: an attempt that failed, an envelope that the broker did not take. */
  error: (error: Error) => void;
}

/** How envelopes become WebSocket messages. JSON is built in; `msgpack` comes from "fantail/msgpack". */
export interface Codec {
  readonly subprotocol: string;
  encode(envelope: object): string | Uint8Array;
  /** Throws where the message is none. May hold several envelopes. */
  decode(message: string | ArrayBuffer): object[];
}

/** Where positions outlive a reload: `localStorage` and `sessionStorage` are such. */
export interface PositionStore {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface ConnectOptions {
  /** A token for each connection, asked for before it is made, and again before it expires. */
  getToken?: (why: { expired: boolean }) => string | null | Promise<string | null>;
  codec?: Codec;
  /** Ways to the broker, in the order of trying: `["websocket", "events"]`. */
  transports?: readonly ("websocket" | "events")[];
  /** Tabs of one origin share a connection; an object says where the worker's script is. */
  shared?: boolean | { name?: string; workerUrl?: string | URL };
  /** Positions are kept there, under the name, so that a reload resumes. */
  persist?: { store: PositionStore; name: string };
  /** Bounds of what waits to be published while there is no connection (1000 and 1 MiB). */
  queue?: { messages?: number; bytes?: number };
  /** The random pause between attempts, ms (500 and 20000). */
  backoff?: { min?: number; max?: number };
  /** The constructor in place of the global one; in Node without one, `ws` is used. */
  WebSocket?: unknown;
}

export interface Client {
  readonly state: State;
  readonly welcome: Welcome | null;
  subscribe<T = unknown>(
    filters: string | readonly string[],
    options?: SubscribeOptions<T> | ((message: Message<T>) => void),
  ): Subscription<T>;
  publish(topic: string, data: unknown, options?: PublishOptions): Promise<Published>;
  history<T = unknown>(topic: string, options?: HistoryOptions): Promise<Message<T>[]>;
  presence(topic: string): Promise<PresenceInfo>;
  /** The time of a round trip, ms. */
  ping(): Promise<number>;
  /** Returns what takes the handler off again. */
  on<E extends keyof Events>(event: E, handler: Events[E]): () => void;
  /** Ends everything; what was not answered is rejected with a `ClosedError`. */
  close(): void;
}
