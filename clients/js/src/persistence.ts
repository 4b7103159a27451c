/**
 * Keeps the positions of subscriptions in a store of the page's, by their filters, so that a reload
 * goes on where the page was.
 */
import type { Sub } from "./subscription.js";
import type { Subscriptions } from "./subscriptions.js";
import type { ConnectOptions, Position } from "./types.js";

/** What a page reload may lose the place of, at most. */
const SAVE_MS = 1000;
/** Sets of filters that are remembered, the latest. */
const ENTRIES_MAX = 256;

const keyOf = (filters: readonly string[]): string => [...filters].sort().join("\n");

export class Persistence {
  private readonly entries_ = new Map<string, Position[]>();
  private live_ = new Set<string>();
  private saved_ = "";
  private readonly timer_ = setInterval(() => this.save_(), SAVE_MS);

  constructor(
    private readonly options_: NonNullable<ConnectOptions["persist"]>,
    private readonly subscriptions_: Subscriptions,
  ) {
    try {
      const text = options_.store.getItem(options_.name);
      this.entries_ = new Map(JSON.parse(text ?? "[]"));
    } catch {
      /* Not ours, or no access: it begins anew. */
    }
    for (const sub of subscriptions_.all_) this.resume_(sub);
  }

  /** Has a new subscription go on where one with these filters was. */
  resume_(sub: Sub): void {
    sub.goOn_(this.entries_.get(keyOf(sub.filters)));
  }

  save_(): void {
    const live = new Set<string>();
    for (const { filters, positions } of this.subscriptions_.all_) {
      const key = keyOf(filters);
      live.add(key);
      this.live_.delete(key);
      if (positions.length) this.entries_.set(key, positions);
    }
    for (const key of this.live_) this.entries_.delete(key);
    this.live_ = live;
    const text = JSON.stringify([...this.entries_].slice(-ENTRIES_MAX));
    if (text === this.saved_) return;
    this.saved_ = text;
    try {
      this.options_.store.setItem(this.options_.name, text);
    } catch {
      /* The store is full: a reload goes on from an older place. */
    }
  }

  close_(): void {
    this.save_();
    clearInterval(this.timer_);
  }
}
