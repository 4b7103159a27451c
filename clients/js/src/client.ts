/**
 * The life of a client: when it connects, with which token, how long it waits, when a link counts as dead.
 * What is subscribed to and what is published is kept elsewhere; here goes what comes to whom it is for.
 */
import { pause } from "./backoff.js";
import { ClosedError, FantailError } from "./errors.js";
import { json, toBytes } from "./json.js";
import { Persistence } from "./persistence.js";
import { errorOf, Publisher } from "./publisher.js";
import { call } from "./subscription.js";
import { Subscriptions } from "./subscriptions.js";
import { isTopic } from "./topics.js";
import type { Ending, Envelope, OpenTransport, Transport } from "./transport.js";
import type {
  Client,
  ConnectOptions,
  Events,
  HistoryOptions,
  Message,
  PresenceInfo,
  Published,
  PublishOptions,
  State,
  SubscribeOptions,
  Subscription,
  Welcome,
} from "./types.js";
import { chooseWay } from "./ways.js";

/** From the first packet to the welcome. */
const WELCOME_MS = 15_000;
/** For the program to find a token. */
const TOKEN_MS = 30_000;
/** So long before a token ends a fresh one is asked for; of a short life, in its last fifth. */
const RENEW_MS = 30_000;
/** For the answer to a ping; less where pings are more frequent. */
const PONG_MS = 10_000;
/** Open for so long, a connection counts as a success. */
const STABLE_MS = 10_000;
/** The longest that a timer can run. */
const TIMER_MAX = 2 ** 31 - 1;
const LIMITS = { message: 65536, topics: 1024 };

type Timer = ReturnType<typeof setTimeout>;
const page = globalThis as Partial<Window & typeof globalThis>;

export class FantailClient implements Client {
  state: State = "connecting";
  welcome: Welcome | null = null;
  private readonly handlers: { [E in keyof Events]: Set<Events[E]> } = {
    state: new Set(),
    welcome: new Set(),
    error: new Set(),
  };
  private readonly subscriptions: Subscriptions;
  private readonly publisher: Publisher;
  private readonly persistence: Persistence | undefined;
  private readonly codec;
  private readonly open: OpenTransport;
  private lastId = 0;

  /* the connection, or the attempt */
  private attempted: object | undefined;
  private transport: Transport | undefined;
  private isLeaving = false;
  private heard = 0;
  private openedAt = 0;
  private isPinged = false;
  private timer: Timer | undefined;
  private tokenTimer: Timer | undefined;
  private authId: number | undefined;
  private isRenewing = false;

  /* the next one */
  private failures = 0;
  private wasOpen = false;
  private isTokenBad = false;
  private named: number | undefined;
  private atLeast = 0;

  constructor(
    private readonly url: URL,
    private readonly options: ConnectOptions,
  ) {
    this.codec = options.codec ?? json;
    this.open = chooseWay(options.transports);
    const port = {
      send: (envelope: Envelope) => this.send(envelope),
      isOpen: () => this.isOpen(),
      nextId: () => ++this.lastId,
      sizeOf: (envelope: Envelope) => this.sizeOf(envelope),
      limit: () => this.welcome?.limits?.message,
      limits: () => ({ ...LIMITS, ...this.welcome?.limits }),
      toMessage,
    };
    this.subscriptions = new Subscriptions(port);
    this.publisher = new Publisher(port, options.queue?.messages, options.queue?.bytes);
    if (options.persist) this.persistence = new Persistence(options.persist, this.subscriptions);
    page.addEventListener?.("online", this.hurry);
    page.document?.addEventListener("visibilitychange", this.hurry);
    /* After the caller has put on its handlers. */
    queueMicrotask(() => void this.attempt());
  }

  subscribe<T = unknown>(
    filters: string | readonly string[],
    options: SubscribeOptions<T> | ((message: Message<T>) => void) = {},
  ): Subscription<T> {
    if (this.state === "closed") throw new ClosedError();
    const all = (typeof options === "function" ? { onMessage: options } : options) as SubscribeOptions;
    const names = typeof filters === "string" ? [filters] : filters;
    const sub = this.subscriptions.add(names, this.persistence?.resume(names, all) ?? all);
    return sub as unknown as Subscription<T>;
  }

  async publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    if (data === undefined) throw new FantailError(400, "there is no data; null is a value");
    const { retain, ttl, key, signal } = options;
    const envelope: Envelope = { op: "pub", topic, data };
    if (retain) envelope.retain = true;
    if (ttl !== undefined) envelope.ttl = ttl;
    if (key !== undefined) envelope.key = key === true ? randomKey() : key;
    const { pos, duplicate } = await this.ask(envelope, signal);
    const published: Published = {};
    if (pos !== undefined) published.pos = pos as string;
    if (duplicate) published.duplicate = true;
    return published;
  }

  async history<T = unknown>(topic: string, options: HistoryOptions = {}): Promise<Message<T>[]> {
    const { messages } = await this.ask({ op: "history", topic, ...options });
    return (messages as Record<string, unknown>[]).map((message) =>
      toMessage({ topic, ...message }),
    ) as Message<T>[];
  }

  async presence(topic: string): Promise<PresenceInfo> {
    const { count, clients } = await this.ask({ op: "presence", topic });
    return { count, clients } as PresenceInfo;
  }

  async ping(): Promise<number> {
    const { elapsed } = await this.ask({ op: "ping" });
    return elapsed as number;
  }

  on<E extends keyof Events>(event: E, handler: Events[E]): () => void {
    this.handlers[event].add(handler);
    return () => this.handlers[event].delete(handler);
  }

  close(): void {
    this.shut();
  }

  /** Sends a request, behind the subscriptions that were made before it. */
  private async ask(envelope: Envelope, signal?: AbortSignal): Promise<Envelope> {
    if (this.state === "closed") throw new ClosedError();
    if ("topic" in envelope && !isTopic(envelope.topic))
      throw new FantailError(400, `${JSON.stringify(envelope.topic)} is no topic`);
    this.subscriptions.ask();
    return this.publisher.ask(envelope, signal);
  }

  private emit<E extends keyof Events>(event: E, ...args: Parameters<Events[E]>): void {
    for (const handler of [...this.handlers[event]])
      call(handler as (...args: Parameters<Events[E]>) => void, ...args);
  }

  private enter(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }

  private isOpen(): boolean {
    return this.state === "open" && !this.isLeaving;
  }

  private send(envelope: Envelope): boolean {
    return this.isOpen() && !!this.transport?.send(envelope);
  }

  /** Bytes of an envelope in a message. Throws where it cannot be one. */
  private sizeOf(envelope: Envelope): number {
    let message;
    try {
      message = this.codec.encode(envelope);
    } catch (error) {
      throw new FantailError(400, `the data cannot be sent: ${String(error)}`);
    }
    return typeof message === "string" ? new TextEncoder().encode(message).length : message.length;
  }

  private async attempt(): Promise<void> {
    if (this.state === "closed") return;
    const attempt = (this.attempted = {});
    const isCurrent = (): boolean => this.attempted === attempt;
    const { WebSocket, getToken } = this.options;
    const expired = this.isTokenBad;
    let token: string | null | undefined;
    this.enter("connecting");
    this.timeOut(TOKEN_MS, "getToken took too long");
    try {
      token = await getToken?.({ expired });
    } catch (error) {
      if (isCurrent()) this.end({ code: 1006, reason: `getToken failed: ${String(error)}` });
    }
    if (!isCurrent()) return;
    this.timeOut(WELCOME_MS, "the broker did not say welcome");
    this.transport = this.open(
      { url: this.url, token: token ?? null, codec: this.codec, WebSocket },
      {
        onEnvelope: (envelope) => {
          try {
            if (isCurrent()) this.receive(envelope);
          } catch (error) {
            this.drop(`the broker sent what cannot be read: ${String(error)}`);
          }
        },
        onEnd: (ending) => {
          if (isCurrent()) this.end(ending);
        },
      },
    );
  }

  private receive(envelope: Envelope): void {
    const { op } = envelope;
    this.heard = Date.now();
    this.isPinged = false;
    if (op === "welcome") this.greet(envelope as unknown as Welcome);
    else if (this.state !== "open") return;
    else if (op === "msg") this.subscriptions.deliver(envelope);
    else if (op === "ok" || op === "error") this.answer(envelope);
    else if (op === "gap") this.subscriptions.gap(envelope);
    else if (op === "bye") {
      this.isLeaving = true;
      if (typeof envelope.reconnect === "number") this.named = envelope.reconnect;
    }
  }

  private greet(welcome: Welcome): void {
    if (this.state !== "connecting") return;
    this.welcome = welcome;
    this.wasOpen = true;
    this.isTokenBad = false;
    this.openedAt = this.heard;
    this.enter("open");
    this.emit("welcome", welcome);
    this.expect(welcome.expires);
    this.watch();
    this.subscriptions.ask();
    this.publisher.flush();
  }

  private answer(envelope: Envelope): void {
    const { op, id } = envelope;
    if (this.publisher.answer(envelope) || this.subscriptions.answer(envelope)) return;
    const isAuth = id !== undefined && id === this.authId;
    /* An answer that nobody waits for any more. */
    if (!isAuth && (op === "ok" || id !== undefined)) return;
    if (op === "ok") {
      this.expect(envelope.expires);
      envelope = {
        ...envelope,
        code: 403,
        message: "the fresh token does not permit all of the filters",
      };
    }
    const error = errorOf(envelope);
    const ended = envelope.unsubscribed;
    if (op === "ok" && !ended) return;
    if (id === undefined) {
      /* It is about the connection: keeps away so long, if it ends. */
      this.atLeast = error.retry ?? 0;
      if (error.code === 401 && this.options.getToken) return void this.renew();
    }
    this.subscriptions.dropFilters(ended, error);
    this.emit("error", error);
  }

  /** Asks for a fresh token and sends it, without a break. */
  private async renew(): Promise<void> {
    const { attempted } = this;
    if (this.isRenewing) return;
    this.isRenewing = true;
    try {
      const token = await this.options.getToken?.({ expired: true });
      if (token && attempted === this.attempted) {
        this.authId = ++this.lastId;
        this.send({ op: "auth", id: this.authId, token });
      }
    } catch (error) {
      this.emit("error", error as Error);
    }
    this.isRenewing = false;
  }

  /** The token ends then: a fresh one is asked for somewhat before. */
  private expect(expires: unknown): void {
    clearTimeout(this.tokenTimer);
    const left = Number(expires) - Date.now();
    if (left > 1000 && this.options.getToken)
      this.tokenTimer = setTimeout(
        () => void this.renew(),
        Math.min(left - Math.min(left / 5, RENEW_MS), TIMER_MAX),
      );
  }

  /** Notices a dead link: silence for two of the broker's intervals, and then no answer to a ping. */
  private watch(): void {
    const rest = 2 * this.interval() - (Date.now() - this.heard);
    clearTimeout(this.timer);
    if (rest <= 0) this.probe();
    else this.timer = setTimeout(() => this.watch(), Math.min(rest, TIMER_MAX));
  }

  private probe(): void {
    this.isPinged = true;
    this.transport?.send({ op: "ping" });
    clearTimeout(this.timer);
    this.timer = setTimeout(
      () => (this.isPinged ? this.drop("the broker has fallen silent") : this.watch()),
      Math.min(this.interval(), PONG_MS),
    );
  }

  private interval(): number {
    return (Number(this.welcome?.ping) || 25) * 1000;
  }

  private timeOut(ms: number, reason: string): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.drop(reason), ms);
  }

  /** The network is back, or somebody looks again. */
  private readonly hurry = (): void => {
    if (page.document?.visibilityState === "hidden") this.persistence?.save();
    else if (this.state === "waiting" && this.named === undefined) void this.attempt();
    else if (this.isOpen() && !this.isPinged && Date.now() - this.heard > 1000) this.probe();
  };

  /** Gives up a connection that will not end by itself. */
  private drop(reason: string): void {
    const { transport } = this;
    this.end({ code: 1006, reason });
    transport?.close();
  }

  /** Forgets everything about the connection. */
  private forget(): void {
    clearTimeout(this.timer);
    clearTimeout(this.tokenTimer);
    this.attempted = this.transport = this.authId = undefined;
    this.isLeaving = this.isPinged = false;
  }

  private end({ code, reason, status, retry }: Ending): void {
    const { isTokenBad, named, atLeast, state, options } = this;
    if (state === "closed") return;
    const isStable = state === "open" && Date.now() - this.openedAt >= STABLE_MS;
    const error = new FantailError(status ?? code, reason || `the connection ended with ${code}`);
    this.forget();
    this.failures = isStable ? 1 : this.failures + 1;
    this.isTokenBad = status === 401 || code === 4401;
    this.named = undefined;
    this.atLeast = 0;
    this.publisher.break();
    this.subscriptions.break();
    if (this.isFinal(code, status, isTokenBad)) return this.shut(error);
    const { min = 500, max = 20_000 } = options.backoff ?? {};
    const isAtOnce = retry === 0 || (this.isTokenBad && !isTokenBad);
    const wait = named ?? Math.max(isAtOnce ? 0 : pause(this.failures, min, max), retry ?? 0, atLeast);
    this.timer = setTimeout(() => void this.attempt(), Math.min(wait, TIMER_MAX));
    this.named = named;
    this.enter("waiting");
    this.emit("error", error);
  }

  /** Says whether another attempt would end the same way. */
  private isFinal(code: number, status = 0, wasTokenBad: boolean): boolean {
    /* The next token may be a better one; if the first two were bad, somebody should look at it. */
    if (this.isTokenBad) return !this.options.getToken || (wasTokenBad && !this.wasOpen);
    if (status === 403 || code === 1008 || code === 4400 || code === 4403) return true;
    /* A path that is missing may be a proxy that is being set up, but not on a URL that never worked. */
    return !this.wasOpen && status >= 400 && status < 500 && status !== 408 && status !== 429;
  }

  private shut(error?: FantailError): void {
    if (this.state === "closed") return;
    const { transport } = this;
    const why = new ClosedError(error?.message);
    this.persistence?.close();
    page.removeEventListener?.("online", this.hurry);
    page.document?.removeEventListener("visibilitychange", this.hurry);
    this.forget();
    this.enter("closed");
    transport?.close();
    this.publisher.end(why);
    this.subscriptions.end(error, why);
    if (error) this.emit("error", error);
  }
}

/** A publication as its subscribers see it. */
function toMessage({ topic, data, b64, pos, at, retained }: Record<string, unknown>): Message {
  const message: Message = {
    topic: topic as string,
    data: typeof b64 === "string" ? toBytes(b64) : data,
  };
  if (pos !== undefined) message.pos = pos as string;
  if (at !== undefined) message.at = Number(at);
  if (retained) message.retained = true;
  return message;
}

/** Unlike any other for as long as the broker remembers keys. */
const randomKey = (): string =>
  [0, 0, 0].map(() => Math.random().toString(36).slice(2)).join("");
