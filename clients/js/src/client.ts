/**
 * The life of a client: when it connects, with which token, how long it waits, when a link counts
 * as dead. What is subscribed to and what is published is kept elsewhere; here goes what comes to
 * whom it is for.
 */
import { pause } from "./backoff.js";
import { choose } from "./choose.js";
import { ClosedError, FantailError } from "./errors.js";
import { json, toMessage } from "./json.js";
import type { Persistence } from "./persistence.js";
import { errorOf, nextId, Publisher, type Port } from "./publisher.js";
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

export class FantailClient implements Client, Port {
  state: State = "connecting";
  welcome: Welcome | null = null;
  private readonly handlers_: { [E in keyof Events]: Set<Events[E]> } = {
    state: new Set(),
    welcome: new Set(),
    error: new Set(),
  };
  private readonly subscriptions_: Subscriptions;
  private readonly publisher_: Publisher;
  private persistence_: Persistence | undefined;
  private readonly codec_;
  private readonly open_: OpenTransport;

  /* the connection, or the attempt */
  private attempted_: object | undefined;
  private transport_: Transport | undefined;
  private isLeaving_ = false;
  private heard_ = 0;
  private openedAt_ = 0;
  private isPinged_ = false;
  private timer_: Timer | undefined;
  private tokenTimer_: Timer | undefined;
  private authId_: number | undefined;
  private isRenewing_ = false;

  /* the next one */
  private failures_ = 0;
  private wasOpen_ = false;
  private isTokenBad_ = false;
  private named_: number | undefined;
  private atLeast_ = 0;

  constructor(
    private readonly url_: URL,
    private readonly options_: ConnectOptions,
  ) {
    this.codec_ = options_.codec ?? json;
    this.open_ = choose(options_);
    this.subscriptions_ = new Subscriptions(this);
    this.publisher_ = new Publisher(this, options_.queue?.messages, options_.queue?.bytes);
    page.addEventListener?.("online", this.hurry_);
    page.document?.addEventListener("visibilitychange", this.hurry_);
    /* After the caller has put on its handlers. */
    queueMicrotask(() => void this.attempt_());
  }

  subscribe<T = unknown>(
    filters: string | readonly string[],
    options: SubscribeOptions<T> | ((message: Message<T>) => void) = {},
  ): Subscription<T> {
    if (this.state === "closed") throw new ClosedError();
    const all = (
      typeof options === "function" ? { onMessage: options } : options
    ) as SubscribeOptions;
    const names = typeof filters === "string" ? [filters] : filters;
    const sub = this.subscriptions_.add_(names, all);
    this.persistence_?.resume_(sub);
    return sub as unknown as Subscription<T>;
  }

  async publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    if (data === undefined) throw new FantailError(400, "there is no data; null is a value");
    const { retain, ttl, key, signal } = options;
    const envelope: Envelope = { op: "pub", topic, data };
    if (retain) envelope.retain = true;
    if (ttl !== undefined) envelope.ttl = ttl;
    if (key !== undefined) envelope.key = key === true ? randomKey() : key;
    const { pos, duplicate } = await this.ask_(envelope, signal);
    const published: Published = {};
    if (pos !== undefined) published.pos = pos as string;
    if (duplicate) published.duplicate = true;
    return published;
  }

  async history<T = unknown>(topic: string, options: HistoryOptions = {}): Promise<Message<T>[]> {
    const { messages } = await this.ask_({ op: "history", topic, ...options });
    return (messages as Record<string, unknown>[]).map((message) =>
      toMessage({ topic, ...message }),
    ) as Message<T>[];
  }

  async presence(topic: string): Promise<PresenceInfo> {
    const { count, clients } = await this.ask_({ op: "presence", topic });
    return { count, clients } as PresenceInfo;
  }

  async ping(): Promise<number> {
    const { elapsed } = await this.ask_({ op: "ping" });
    return elapsed as number;
  }

  on<E extends keyof Events>(event: E, handler: Events[E]): () => void {
    this.handlers_[event].add(handler);
    return () => this.handlers_[event].delete(handler);
  }

  close(): void {
    this.shut_();
  }

  /** Sends a request, behind the subscriptions that were made before it. */
  private async ask_(envelope: Envelope, signal?: AbortSignal): Promise<Envelope> {
    if (this.state === "closed") throw new ClosedError();
    if ("topic" in envelope && !isTopic(envelope.topic))
      throw new FantailError(400, `${JSON.stringify(envelope.topic)} is no topic`);
    this.subscriptions_.ask_();
    return this.publisher_.ask_(envelope, signal);
  }

  private emit_<E extends keyof Events>(event: E, ...args: Parameters<Events[E]>): void {
    for (const handler of [...this.handlers_[event]])
      call(handler as (...args: Parameters<Events[E]>) => void, ...args);
  }

  private enter_(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.emit_("state", state);
  }

  isOpen_(): boolean {
    return this.state === "open" && !this.isLeaving_;
  }

  send_(envelope: Envelope): boolean {
    return this.isOpen_() && !!this.transport_?.send(envelope);
  }

  limits_(): { message: number; topics: number } {
    return { ...LIMITS, ...this.welcome?.limits };
  }

  sizeOf_(envelope: Envelope): number {
    let message;
    try {
      message = this.codec_.encode(envelope);
    } catch (error) {
      throw new FantailError(400, `the data cannot be sent: ${String(error)}`);
    }
    return typeof message === "string" ? new TextEncoder().encode(message).length : message.length;
  }

  private async attempt_(): Promise<void> {
    if (this.state === "closed") return;
    const attempt = (this.attempted_ = {});
    const isCurrent = (): boolean => this.attempted_ === attempt;
    const { WebSocket, getToken, persist } = this.options_;
    const expired = this.isTokenBad_;
    this.named_ = undefined;
    let token: string | null | undefined;
    this.enter_("connecting");
    this.timeOut_(TOKEN_MS, "getToken took too long");
    try {
      if (persist && !this.persistence_) {
        const { Persistence } = await import("./persistence.js");
        if (isCurrent()) this.persistence_ = new Persistence(persist, this.subscriptions_);
      }
      token = await getToken?.({ expired });
    } catch (error) {
      if (isCurrent()) this.end_({ code: 1006, reason: `no token: ${String(error)}` });
    }
    if (!isCurrent()) return;
    this.timeOut_(WELCOME_MS, "the broker did not say welcome");
    this.transport_ = this.open_(
      { url: this.url_, token: token ?? null, codec: this.codec_, WebSocket },
      {
        onEnvelope: (envelope) => {
          try {
            if (isCurrent()) this.receive_(envelope);
          } catch (error) {
            this.drop_(`the broker sent what cannot be read: ${String(error)}`);
          }
        },
        onEnd: (ending) => {
          if (isCurrent()) this.end_(ending);
        },
      },
    );
  }

  private receive_(envelope: Envelope): void {
    const { op } = envelope;
    this.heard_ = Date.now();
    this.isPinged_ = false;
    if (op === "welcome") this.greet_(envelope as unknown as Welcome);
    else if (this.state !== "open") return;
    else if (op === "msg") this.subscriptions_.deliver_(envelope);
    else if (op === "ok" || op === "error") this.answer_(envelope);
    else if (op === "gap") this.subscriptions_.gap_(envelope);
    else if (op === "bye") {
      this.isLeaving_ = true;
      if (typeof envelope.reconnect === "number") this.named_ = envelope.reconnect;
    }
  }

  private greet_(welcome: Welcome): void {
    if (this.state !== "connecting") return;
    this.welcome = welcome;
    this.wasOpen_ = true;
    this.isTokenBad_ = false;
    this.openedAt_ = this.heard_;
    this.enter_("open");
    this.emit_("welcome", welcome);
    this.expect_(welcome.expires);
    this.watch_();
    this.subscriptions_.ask_();
    this.publisher_.flush_();
  }

  private answer_(envelope: Envelope): void {
    const { op, id } = envelope;
    if (this.publisher_.answer_(envelope) || this.subscriptions_.answer_(envelope)) return;
    const isAuth = id !== undefined && id === this.authId_;
    /* An answer that nobody waits for any more. */
    if (!isAuth && (op === "ok" || id !== undefined)) return;
    if (op === "ok") {
      this.expect_(envelope.expires);
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
      this.atLeast_ = error.retry ?? 0;
      if (error.code === 401 && this.options_.getToken) return void this.renew_();
    }
    this.subscriptions_.dropFilters_(ended, error);
    this.emit_("error", error);
  }

  /** Asks for a fresh token and sends it, without a break. */
  private async renew_(): Promise<void> {
    const { attempted_: attempted } = this;
    if (this.isRenewing_) return;
    this.isRenewing_ = true;
    try {
      const token = await this.options_.getToken?.({ expired: true });
      if (token && attempted === this.attempted_) {
        this.authId_ = nextId();
        this.send_({ op: "auth", id: this.authId_, token });
      }
    } catch (error) {
      this.emit_("error", error as Error);
    }
    this.isRenewing_ = false;
  }

  /** The token ends then: a fresh one is asked for somewhat before. */
  private expect_(expires: unknown): void {
    clearTimeout(this.tokenTimer_);
    const left = Number(expires) - Date.now();
    if (left > 1000 && this.options_.getToken)
      this.tokenTimer_ = setTimeout(
        () => void this.renew_(),
        Math.min(left - Math.min(left / 5, RENEW_MS), TIMER_MAX),
      );
  }

  /** Notices a dead link: silence for two of the broker's intervals, and then no answer to a ping.
   */
  private watch_(): void {
    const rest = 2 * this.interval_() - (Date.now() - this.heard_);
    clearTimeout(this.timer_);
    if (rest <= 0) this.probe_();
    else this.timer_ = setTimeout(() => this.watch_(), Math.min(rest, TIMER_MAX));
  }

  private probe_(): void {
    this.isPinged_ = true;
    this.transport_?.send({ op: "ping" });
    clearTimeout(this.timer_);
    this.timer_ = setTimeout(
      () => (this.isPinged_ ? this.drop_("the broker has fallen silent") : this.watch_()),
      Math.min(this.interval_(), PONG_MS),
    );
  }

  private interval_(): number {
    return (Number(this.welcome?.ping) || 25) * 1000;
  }

  private timeOut_(ms: number, reason: string): void {
    clearTimeout(this.timer_);
    this.timer_ = setTimeout(() => this.drop_(reason), ms);
  }

  /** The network is back, or somebody looks again. */
  private readonly hurry_ = (): void => {
    if (page.document?.visibilityState === "hidden") this.persistence_?.save_();
    else if (this.state === "waiting" && this.named_ === undefined) void this.attempt_();
    else if (this.isOpen_() && !this.isPinged_ && Date.now() - this.heard_ > 1000) this.probe_();
  };

  /** Gives up a connection that will not end by itself. */
  private drop_(reason: string): void {
    const { transport_: transport } = this;
    this.end_({ code: 1006, reason });
    transport?.close();
  }

  /** Forgets everything about the connection. */
  private forget_(): void {
    clearTimeout(this.timer_);
    clearTimeout(this.tokenTimer_);
    this.attempted_ = this.transport_ = this.authId_ = undefined;
    this.isLeaving_ = this.isPinged_ = false;
  }

  private end_({ code, reason, status, retry }: Ending): void {
    const {
      isTokenBad_: isTokenBad,
      named_: named,
      atLeast_: atLeast,
      state,
      options_: options,
    } = this;
    if (state === "closed") return;
    const isStable = state === "open" && Date.now() - this.openedAt_ >= STABLE_MS;
    const error = new FantailError(
      status ?? code,
      reason || `the connection ended with ${status ?? code}`,
    );
    this.forget_();
    this.failures_ = isStable ? 1 : this.failures_ + 1;
    this.isTokenBad_ = status === 401 || code === 4401;
    this.named_ = undefined;
    this.atLeast_ = 0;
    this.publisher_.break_();
    this.subscriptions_.break_();
    if (this.isFinal_(code, status, isTokenBad)) return this.shut_(error);
    const { min = 500, max = 20_000 } = options.backoff ?? {};
    const isAtOnce = retry === 0 || (this.isTokenBad_ && !isTokenBad);
    const wait =
      named ?? Math.max(isAtOnce ? 0 : pause(this.failures_, min, max), retry ?? 0, atLeast);
    this.timer_ = setTimeout(() => void this.attempt_(), Math.min(wait, TIMER_MAX));
    this.named_ = named;
    this.enter_("waiting");
    this.emit_("error", error);
  }

  /** Says whether another attempt would end the same way. */
  private isFinal_(code: number, status = 0, wasTokenBad: boolean): boolean {
    /* The next token may be a better one; if the first two were bad, somebody should look at it. */
    if (this.isTokenBad_) return !this.options_.getToken || (wasTokenBad && !this.wasOpen_);
    if (status === 403 || code === 1008 || code === 4400 || code === 4403) return true;
    /* A path that is missing may be a proxy that is being set up, but not on a URL that never
     * worked. */
    return !this.wasOpen_ && status >= 400 && status < 500 && status !== 408 && status !== 429;
  }

  private shut_(error?: FantailError): void {
    if (this.state === "closed") return;
    const { transport_: transport } = this;
    const why = new ClosedError(error?.message);
    why.cause = error;
    this.persistence_?.close_();
    page.removeEventListener?.("online", this.hurry_);
    page.document?.removeEventListener("visibilitychange", this.hurry_);
    this.forget_();
    this.enter_("closed");
    transport?.close();
    this.publisher_.end_(why);
    this.subscriptions_.end_(error, why);
    if (error) this.emit_("error", error);
  }
}

/** Unlike any other for as long as the broker remembers keys. */
const randomKey = (): string => [0, 0, 0].map(() => Math.random().toString(36).slice(2)).join("");
