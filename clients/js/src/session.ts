/**
 * What one session wants of a feed that brings more: the feed of several tabs (hub.ts), or one that goes back for
 * another filter's sake (events.ts). It is told of every publication that the feed brings, in the feed's order,
 * and passes on what a broker's session of its own would get: each once, from where each filter began, and no
 * more than one of a topic per `every`.
 */
import type { Positions } from "./positions.js";
import { covers, parse, raiseAll } from "./positions.js";
import { meet } from "./topics.js";
import type { Envelope } from "./transport.js";

/** Topics whose filters are remembered; then it is begun anew. */
const TOPICS_MAX = 10_000;

interface Wanted {
  levels: string[];
  every: number;
  /** Where its feed began; older ones are not for it. */
  begin: Positions;
  /** What it has had since. */
  had: Positions;
}

/** An `every`: what came in the window that is open, the newest of each topic, by offset. */
interface Window {
  held: Map<string, Envelope>;
  timer: ReturnType<typeof setTimeout>;
}

export const levelsOf = (filter: string): string[] => filter.split("/");

/** Says whether any of the filters and any of the others have a topic in common. */
export const overlap = (filters: readonly string[][], others: readonly string[][]): boolean =>
  filters.some((filter) => others.some((other) => meet(filter, other)));

export class Session {
  private readonly wanted = new Map<string, Wanted>();
  private readonly byTopic = new Map<string, Wanted[]>();
  private readonly windows = new Map<number, Window>();

  constructor(private readonly deliver: (envelope: Envelope) => void) {}

  get filters(): string[] {
    return [...this.wanted.keys()];
  }

  has(filter: string): boolean {
    return this.wanted.has(filter);
  }

  /** The smallest `every` of its filters; Infinity where there are none. */
  get shortest(): number {
    return Math.min(...[...this.wanted.values()].map((wanted) => wanted.every));
  }

  /** Adds filters. Those that are there go on as they are, but for `every`; where they resume, from `begin`. */
  add(filters: readonly string[], every: number, begin: Positions, resumes: boolean): void {
    this.changed();
    for (const filter of filters) {
      const known = this.wanted.get(filter);
      if (known && !resumes) known.every = every;
      else this.wanted.set(filter, { levels: levelsOf(filter), every, begin, had: new Map() });
    }
  }

  remove(filters: readonly string[]): void {
    this.changed();
    for (const filter of filters) this.wanted.delete(filter);
  }

  /** Ends it: nothing comes any more. */
  end(): void {
    for (const { timer } of this.windows.values()) clearTimeout(timer);
    this.windows.clear();
    this.wanted.clear();
    this.byTopic.clear();
  }

  /** The feed is here, and may go back: what it brings again up to here is not to come again. */
  mark(at: Positions): void {
    for (const wanted of this.wanted.values()) raiseAll(wanted.had, at);
  }

  /** Says whether a filter matches the topic. */
  matches(topic: string): boolean {
    return this.wantedOf(topic).length > 0;
  }

  /** The smallest `every` of those filters that are to get it; undefined where none is. */
  private everyOf(envelope: Envelope): number | undefined {
    const position = parse(envelope.pos);
    let every: number | undefined;
    for (const wanted of this.wantedOf(envelope.topic as string)) {
      if (position && covers(wanted.begin, ...position)) continue;
      if (position && covers(wanted.had, ...position)) return undefined;
      every = Math.min(every ?? Infinity, wanted.every);
    }
    return every;
  }

  /** Passes on what is for this session alone, or no publication. */
  pass(envelope: Envelope): void {
    this.deliver(envelope);
  }

  /** A publication; `thinned` is the `every` that the feed has seen to. */
  take(envelope: Envelope, thinned: number): void {
    const every = this.everyOf(envelope);
    if (every === undefined) return;
    if (every > thinned) this.hold(envelope, every);
    else {
      if (this.windows.size) this.flushTopic(envelope.topic as string);
      this.deliver(envelope);
    }
  }

  private wantedOf(topic: string): Wanted[] {
    let found = this.byTopic.get(topic);
    if (!found) {
      const levels = levelsOf(topic);
      found = [...this.wanted.values()].filter((wanted) => meet(wanted.levels, levels));
      if (this.byTopic.size >= TOPICS_MAX) this.byTopic.clear();
      this.byTopic.set(topic, found);
    }
    return found;
  }

  private changed(): void {
    this.byTopic.clear();
    for (const window of this.windows.values()) this.empty(window);
  }

  private hold(envelope: Envelope, every: number): void {
    const topic = envelope.topic as string;
    const window = this.windows.get(every);
    if (window) {
      window.held.delete(topic);
      window.held.set(topic, envelope);
    } else {
      this.open(every);
      this.deliver(envelope);
    }
  }

  private open(every: number): void {
    const timer = setTimeout(() => {
      const window = this.windows.get(every) as Window;
      this.windows.delete(every);
      if (window.held.size) this.open(every);
      this.empty(window);
    }, every);
    this.windows.set(every, { held: new Map(), timer });
  }

  private empty({ held }: Window): void {
    const envelopes = [...held.values()];
    held.clear();
    for (const envelope of envelopes) this.deliver(envelope);
  }

  /** A newer one of the topic comes by another way: what is held back goes first. */
  private flushTopic(topic: string): void {
    for (const { held } of this.windows.values()) {
      const envelope = held.get(topic);
      if (!envelope) continue;
      held.delete(topic);
      this.deliver(envelope);
    }
  }
}
