/**
 * One subscription of the Watch page: what comes goes into a feed, with breaks of the connection as
 * rows among the messages. Figures for people change a few times a second, however much comes.
 */
import { signal } from "@preact/signals";
import type { Client, Subscribed, Subscription } from "fantail";
import { Feed, gapText } from "../model/feed.js";
import type { Watched } from "../model/snippets.js";
import { errorText } from "./failure.js";

/** `reading`: held because somebody went back in the list; `paused`: because they said so. */
export type Holding = "no" | "reading" | "paused";

export interface Counts {
  received: number;
  /** A second. */
  rate: number;
  kept: number;
  waiting: number;
  bytes: number;
}

const NOTHING: Counts = { received: 0, rate: 0, kept: 0, waiting: 0, bytes: 0 };
const TICK_MS = 250;
/** Ticks that the rate is taken over. */
const TICKS = 8;

export class Watcher {
  readonly feed = new Feed();
  readonly counts = signal(NOTHING);
  readonly holding = signal<Holding>("no");
  /** Why there is no subscription, where the broker refused or ended it. */
  readonly error = signal<string | null>(null);
  /** Becomes true with the broker's first answer. */
  readonly isSubscribed = signal(false);
  /** Called when there is something new to draw. */
  onChange = (): void => {};
  readonly #subscription: Subscription | null = null;
  readonly #offState: () => void;
  readonly #timer: number;
  #samples: { at: number; received: number }[] = [];
  #isAway = false;

  constructor(client: Client, watched: Watched) {
    this.#offState = client.on("state", (state) => {
      if (state === "open" || this.#isAway || !this.isSubscribed.peek()) return;
      this.#isAway = true;
      this.#note("break", "the connection is lost; it is made again by itself");
    });
    this.#timer = window.setInterval(() => this.#count(), TICK_MS);
    try {
      this.#subscription = this.#subscribe(client, watched);
      // What goes wrong is told to onError, too.
      this.#subscription.ready.catch(() => {});
    } catch (error) {
      this.error.value = errorText(error);
    }
  }

  #subscribe(client: Client, { filter, since, last, every }: Watched): Subscription {
    return client.subscribe(filter, {
      ...(since?.length ? { since } : {}),
      ...(last ? { last } : {}),
      ...(every ? { every } : {}),
      onMessage: (message) => {
        this.feed.add(message);
        if (this.holding.peek() === "no") this.onChange();
      },
      onGap: (gap) => this.#note("gap", gapText(gap)),
      onSubscribed: (subscribed) => this.#onSubscribed(subscribed),
      onError: (error) => {
        this.error.value = errorText(error);
        this.#note("break", `the subscription has ended: ${errorText(error)}`);
      },
    });
  }

  /** What was not recovered comes as a gap besides. */
  #onSubscribed({ recovered, resumed }: Subscribed): void {
    this.isSubscribed.value = true;
    this.#isAway = false;
    if (recovered) this.#note("note", `${resumed ? "connected again: n" : "n"}othing is missing`);
    else if (resumed) this.#note("note", "connected again");
    else if (recovered === false) {
      this.#note("gap", "not all that came after that position is kept: what is left follows");
    }
  }

  #note(kind: "gap" | "break" | "note", text: string): void {
    this.feed.note(kind, text, Date.now());
    this.onChange();
  }

  #count(): void {
    const { feed } = this;
    const now = performance.now();
    const samples = [...this.#samples, { at: now, received: feed.received }].slice(-TICKS);
    this.#samples = samples;
    const first = samples[0];
    const span = first ? now - first.at : 0;
    const rate = first && span > 0 ? ((feed.received - first.received) * 1000) / span : 0;
    const next = {
      received: feed.received,
      kept: feed.kept,
      waiting: feed.waiting,
      bytes: feed.bytes,
    };
    const old = this.counts.peek();
    if (old.rate === rate && old.received === next.received && old.waiting === next.waiting) return;
    this.counts.value = { ...next, rate };
  }

  hold(how: "reading" | "paused"): void {
    if (this.holding.peek() === "paused") return;
    this.holding.value = how;
    this.feed.hold();
    this.#count();
  }

  release(): void {
    this.holding.value = "no";
    this.feed.release(Date.now());
    this.#count();
    this.onChange();
  }

  clear(): void {
    this.feed.clear();
    this.#samples = [];
    this.counts.value = NOTHING;
    this.onChange();
  }

  /** Positions to go on from with another subscription. */
  get positions(): string[] {
    return this.#subscription?.positions ?? [];
  }

  close(): void {
    clearInterval(this.#timer);
    this.#offState();
    this.#subscription?.close();
    this.onChange = () => {};
  }
}
