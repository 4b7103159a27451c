/**
 * One subscription: its handlers, what it has had, and how it is told. Which requests it is part of is the
 * business of subscriptions.ts.
 */
import { abortError, ClosedError } from "./errors.js";
import { covers, list, parse, raise, read, type Positions } from "./positions.js";
import { Reader } from "./reader.js";
import type { Gap, Message, Position, SubscribeOptions, Subscribed, Subscription } from "./types.js";

/** NEW ─▶ ASKED ─▶ LIVE; a break makes STALE of what was answered once, and NEW of the rest. */
export const NEW = 0;
export const ASKED = 1;
export const LIVE = 2;
export const STALE = 3;
export const OVER = 4;

/** How far subscriptions have come that go on together: from here a resume goes on for all of them. */
export interface Group {
  at: Positions;
  /** The `every` that they have at the broker. */
  pace: number;
  /** What had come at that time: all of it, and nothing of before is held back, two windows later. */
  mark: Positions;
  markedAt: number;
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
  step = NEW;
  wasAnswered = false;
  /** A joint request was refused: it is asked for by itself. */
  isAlone = false;
  /** `last` was asked for on this connection, and what it brings has not come yet. */
  isRewinding = false;
  /** Last values that it is given for subscribing: 0: none came yet; 1: some; 2: they are through. */
  retained = 0;
  /** Not asked for before this time. */
  due = 0;
  /** When it was asked for with `since` or `last` on this connection. */
  pastAsked = 0;
  group: Group | undefined;
  /** Older ones are not for it. */
  begin: Positions;
  /** Only of later ones it had what others had. */
  joined: Positions = new Map();
  readonly every: number;
  readonly ready: Promise<Subscribed>;
  private settle!: { resolve(subscribed: Subscribed): void; reject(error: Error): void };
  private readonly reader: Reader<unknown> | undefined;
  /** `every` that the broker does not see to: topics of the window that runs, and their newest. */
  private readonly window = new Map<string, Message | null>();
  private windowEnd = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly filters: string[],
    readonly options: SubscribeOptions,
    private readonly remove: (sub: Sub) => void,
  ) {
    this.every = options.every ?? 0;
    this.begin = read(options.since);
    if (this.begin.size)
      this.group = { at: new Map(this.begin), pace: 0, mark: this.begin, markedAt: 0 };
    this.ready = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    this.ready.catch(() => {});
    if (!options.onMessage)
      this.reader = new Reader({
        buffer: options.buffer ?? 1024,
        isDropping: options.overflow === "drop",
        onGap: (gap) => this.tellGap(gap),
        onEnd: (error) => this.finish(error),
      });
    if (options.signal?.aborted) this.abort();
    else options.signal?.addEventListener("abort", this.abort);
  }

  /** The latest of a topic that it wants first; not where it says where it goes on. */
  get last(): number {
    return this.wasAnswered || this.group ? 0 : this.options.last ?? 0;
  }

  get positions(): Position[] {
    const at: Positions = new Map(this.group?.at);
    for (const [stream, offset] of this.begin) if (at.has(stream)) raise(at, stream, offset);
    /* What waits to be read was not seen. */
    for (const { pos } of [...this.held(), ...(this.reader?.waiting ?? [])].reverse()) {
      const parts = parse(pos);
      if (parts && covers(at, ...parts)) at.set(parts[0], String(BigInt(parts[1]) - 1n));
    }
    return list(at);
  }

  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    if (!this.reader) throw new TypeError("a subscription with onMessage cannot be iterated");
    return this.reader;
  }

  close = (): void => this.finish();

  private readonly abort = (): void => this.finish(undefined, abortError());

  /** Ends it. With an error its owner is told; `why` is for those who wait for the first answer. */
  finish(error?: Error, why: Error = error ?? new ClosedError("the subscription is closed")): void {
    if (this.step === OVER) return;
    this.step = OVER;
    clearTimeout(this.timer);
    this.options.signal?.removeEventListener("abort", this.abort);
    this.remove(this);
    this.settle.reject(why);
    this.reader?.end(error);
    if (error) call(this.options.onError, error);
  }

  /** The broker has answered. */
  tell(subscribed: Subscribed): void {
    const { onSubscribed, onRecovered } = this.options;
    this.settle.resolve(subscribed);
    call(onSubscribed, subscribed);
    if (subscribed.recovered === false || (subscribed.resumed && !subscribed.recovered))
      this.tellGap({ reason: "resume" });
    else if (subscribed.resumed) call(onRecovered, subscribed);
  }

  tellGap(gap: Gap): void {
    call(this.options.onGap, gap);
  }

  /** Takes a delivery. `isFast`: the broker does not hold it back as long as this one wants. */
  give(message: Message, isFast: boolean): void {
    if (isFast) return this.throttle(message);
    if (this.window.has(message.topic)) this.window.set(message.topic, null);
    this.hand(message);
  }

  private hand(message: Message): void {
    if (this.step === OVER) return;
    if (this.reader) this.reader.push(message);
    else call(this.options.onMessage, message);
  }

  private throttle(message: Message): void {
    const now = Date.now();
    if (now >= this.windowEnd) this.flush();
    if (!this.window.size) this.windowEnd = now + this.every;
    if (this.window.has(message.topic)) {
      this.window.set(message.topic, message);
      this.timer ??= setTimeout(() => this.flush(), this.windowEnd - now);
    } else {
      this.window.set(message.topic, null);
      this.hand(message);
    }
  }

  private held(): Message[] {
    return [...this.window.values()].filter((message) => message !== null);
  }

  private flush(): void {
    const held = this.held();
    clearTimeout(this.timer);
    this.timer = undefined;
    this.window.clear();
    if (held.length) this.windowEnd = Date.now() + this.every;
    for (const message of held) {
      this.window.set(message.topic, null);
      this.hand(message);
    }
  }
}
