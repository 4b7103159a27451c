/**
 * One subscription: its handlers, what it has had, and how it is told. Which requests it is part of
 * is the business of subscriptions.ts.
 */
import { abortError, ClosedError } from "./errors.js";
import { covers, list, parse, raise, read, type Positions } from "./positions.js";
import { Reader } from "./reader.js";
import type {
  Gap,
  Message,
  Position,
  SubscribeOptions,
  Subscribed,
  Subscription,
} from "./types.js";

/** NEW ─▶ ASKED ─▶ LIVE; a break makes STALE of what was answered once, and NEW of the rest. */
export const NEW = 0;
export const ASKED = 1;
export const LIVE = 2;
export const STALE = 3;
export const OVER = 4;

/** How far subscriptions have come that go on together: from here a resume goes on for all of them.
 */
export interface Group {
  at_: Positions;
  /** The `every` that they have at the broker. */
  pace_: number;
  /** What had come at that time: all of it, and nothing of before is held back, two windows later.
   */
  mark_: Positions;
  markedAt_: number;
}

/** A callback that throws is its owner's error, and does not keep others from being called. */
export function call<A extends unknown[]>(
  handler: ((...args: A) => void) | undefined,
  ...args: A
): void {
  try {
    handler?.(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

export class Sub implements Subscription {
  step_ = NEW;
  wasAnswered_ = false;
  /** A joint request was refused: it is asked for by itself. */
  isAlone_ = false;
  /** It was told that it was not recovered, and asks for more than it was given then. */
  isAgain_ = false;
  /** `last` was asked for on this connection, and what it brings has not come yet. */
  isRewinding_ = false;
  /** Last values that it is given for subscribing: 0: none came yet; 1: some; 2: they are through.
   */
  retained_ = 0;
  /** Not asked for before this time. */
  due_ = 0;
  /** When it was asked for with `since` or `last` on this connection. */
  pastAsked_ = 0;
  group_: Group | undefined;
  /** Older ones are not for it. */
  begin_: Positions = new Map();
  /** Only of later ones it had what others had. */
  joined_: Positions = new Map();
  readonly every_: number;
  readonly ready: Promise<Subscribed>;
  private settle_!: { resolve(subscribed: Subscribed): void; reject(error: Error): void };
  private readonly reader_: Reader<unknown> | undefined;
  /** `every` that the broker does not see to: topics of the window that runs, and their newest. */
  private readonly window_ = new Map<string, Message | null>();
  private windowEnd_ = 0;
  private timer_: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly filters: string[],
    readonly options_: SubscribeOptions,
    private readonly remove_: (sub: Sub) => void,
  ) {
    this.every_ = options_.every ?? 0;
    this.goOn_(options_.since);
    this.ready = new Promise((resolve, reject) => (this.settle_ = { resolve, reject }));
    this.ready.catch(() => {});
    if (!options_.onMessage)
      this.reader_ = new Reader({
        buffer_: options_.buffer ?? 1024,
        isDropping_: options_.overflow === "drop",
        onGap_: (gap) => this.tellGap_(gap),
        onEnd_: (error) => this.finish_(error),
      });
    if (options_.signal?.aborted) this.abort_();
    else options_.signal?.addEventListener("abort", this.abort_);
  }

  /** Has it begin after these positions, unless it has begun, or knows better. */
  goOn_(since: unknown): void {
    const at = read(since);
    if (this.step_ !== NEW || this.group_ || !at.size) return;
    this.begin_ = at;
    this.group_ = { at_: new Map(at), pace_: 0, mark_: at, markedAt_: 0 };
  }

  /** The latest of a topic that it wants first; not where it says where it goes on. */
  get last_(): number {
    return this.wasAnswered_ || this.group_ ? 0 : (this.options_.last ?? 0);
  }

  get positions(): Position[] {
    const at: Positions = new Map(this.group_?.at_);
    for (const [stream, offset] of this.begin_) if (at.has(stream)) raise(at, stream, offset);
    /* What waits to be read was not seen. */
    for (const { pos } of [...this.held_(), ...(this.reader_?.waiting_ ?? [])].reverse()) {
      const parts = parse(pos);
      if (parts && covers(at, ...parts)) at.set(parts[0], String(BigInt(parts[1]) - 1n));
    }
    return list(at);
  }

  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    if (!this.reader_) throw new TypeError("a subscription with onMessage cannot be iterated");
    return this.reader_;
  }

  close = (): void => this.finish_();

  private readonly abort_ = (): void => this.finish_(undefined, abortError());

  /** Ends it. With an error its owner is told; `why` is for those who wait for the first answer. */
  finish_(
    error?: Error,
    why: Error = error ?? new ClosedError("the subscription is closed"),
  ): void {
    if (this.step_ === OVER) return;
    this.step_ = OVER;
    clearTimeout(this.timer_);
    this.options_.signal?.removeEventListener("abort", this.abort_);
    this.remove_(this);
    this.settle_.reject(why);
    this.reader_?.end_(error);
    if (error) call(this.options_.onError, error);
  }

  /** The broker has answered. */
  tell_(subscribed: Subscribed): void {
    const { onSubscribed, onRecovered } = this.options_;
    this.settle_.resolve(subscribed);
    call(onSubscribed, subscribed);
    if (subscribed.recovered === false || (subscribed.resumed && !subscribed.recovered))
      this.tellGap_({ reason: "resume" });
    else if (subscribed.resumed) call(onRecovered, subscribed);
  }

  tellGap_(gap: Gap): void {
    call(this.options_.onGap, gap);
  }

  /** Takes a delivery. `isFast`: the broker does not hold it back as long as this one wants. */
  give_(message: Message, isFast: boolean): void {
    if (isFast) return this.throttle_(message);
    if (this.window_.has(message.topic)) this.window_.set(message.topic, null);
    this.hand_(message);
  }

  private hand_(message: Message): void {
    if (this.step_ === OVER) return;
    if (this.reader_) this.reader_.push_(message);
    else call(this.options_.onMessage, message);
  }

  private throttle_(message: Message): void {
    const now = Date.now();
    if (now >= this.windowEnd_) this.flush_();
    if (!this.window_.size) this.windowEnd_ = now + this.every_;
    if (this.window_.has(message.topic)) {
      this.window_.set(message.topic, message);
      this.timer_ ??= setTimeout(() => this.flush_(), this.windowEnd_ - now);
    } else {
      this.window_.set(message.topic, null);
      this.hand_(message);
    }
  }

  private held_(): Message[] {
    return [...this.window_.values()].filter((message) => message !== null);
  }

  private flush_(): void {
    const held = this.held_();
    clearTimeout(this.timer_);
    this.timer_ = undefined;
    this.window_.clear();
    if (held.length) this.windowEnd_ = Date.now() + this.every_;
    for (const message of held) {
      this.window_.set(message.topic, null);
      this.hand_(message);
    }
  }
}
