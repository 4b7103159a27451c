/** Keeps the positions of subscriptions in a store of the page's, by their filters, so that a reload goes on
 * where the page was. */
import { list, read } from "./positions.js";
import type { Subscriptions } from "./subscriptions.js";
import type { ConnectOptions, Position, SubscribeOptions } from "./types.js";

/** What a page reload may lose the place of, at most. */
const SAVE_MS = 1000;
/** Sets of filters that are remembered, the latest. */
const ENTRIES_MAX = 256;

const keyOf = (filters: readonly string[]): string => [...filters].sort().join("\n");

export class Persistence {
  private readonly entries = new Map<string, Position[]>();
  private live = new Set<string>();
  private saved = "";
  private readonly timer = setInterval(() => this.save(), SAVE_MS);

  constructor(
    private readonly options: NonNullable<ConnectOptions["persist"]>,
    private readonly subscriptions: Subscriptions,
  ) {
    try {
      const text = options.store.getItem(options.name);
      this.entries = new Map(JSON.parse(text ?? "[]"));
    } catch {
      /* Not ours, or no access: it begins anew. */
    }
  }

  /** The options with the positions of last time, where there are some. */
  resume(filters: readonly string[], options: SubscribeOptions): SubscribeOptions {
    const since = list(read(this.entries.get(keyOf(filters))));
    return since.length && !options.since ? { ...options, since } : options;
  }

  save(): void {
    const live = new Set<string>();
    for (const { filters, positions } of this.subscriptions.all) {
      const key = keyOf(filters);
      live.add(key);
      this.live.delete(key);
      if (positions.length) this.entries.set(key, positions);
    }
    for (const key of this.live) this.entries.delete(key);
    this.live = live;
    const text = JSON.stringify([...this.entries].slice(-ENTRIES_MAX));
    if (text === this.saved) return;
    this.saved = text;
    try {
      this.options.store.setItem(this.options.name, text);
    } catch {
      /* The store is full: a reload goes on from an older place. */
    }
  }

  close(): void {
    this.save();
    clearInterval(this.timer);
  }
}
