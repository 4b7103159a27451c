/**
 * What is known of the nodes, second by second. Bounded: a quarter of an hour of each of some
 * nodes. Knows no clock and no connection: who calls says what time it is.
 */
import { SILENT_MS } from "./align.js";
import { Ring } from "./ring.js";
import { figure, sampleOf, type Sample, type Stats } from "./stats.js";

export const KEPT_MS = 15 * 60_000;
const KEPT_SAMPLES = 1024; // one a second, and some that come early
const KEPT_NODES = 64;
const FORGOTTEN_MS = 30_000; // by the cluster itself
const CLOCK_ERROR_MS = 2000;

export interface Node {
  readonly name: string;
  /** Its place in the order in which nodes were met: which colour it has. */
  readonly series: number;
  readonly samples: Ring<Sample>;
  /** The latest. */
  stats: Stats | null;
  /** Unix ms of its last figures by this browser's clock; 0: none yet. */
  heard: number;
  /** Unix ms since when it is known. */
  met: number;
  /** Unix seconds by its own clock at which it was started. */
  started: number | null;
  /** Unix ms at which it was seen to have been started again. */
  restarted: number | null;
  /** By how many ms its clock is behind this browser's. */
  skew: number;
  /** The cluster counts it as one of its nodes. */
  listed: boolean;
}

/** A clock that is wrong by little is taken at its word: the network's delay is not its fault. */
function timeOf(node: Node, at: number, arrived: number): number {
  node.skew = Math.min(node.skew, arrived - at);
  return Math.abs(node.skew) > CLOCK_ERROR_MS ? at + node.skew : at;
}

export class Nodes {
  readonly #byName = new Map<string, Node>();
  #met = 0;

  /** By name. */
  all(): Node[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  meet(name: string, now: number): Node {
    const known = this.#byName.get(name);
    if (known) return known;
    if (this.#byName.size >= KEPT_NODES) this.#forgetLongestSilent();
    const node: Node = {
      name,
      series: this.#met++,
      samples: new Ring(KEPT_SAMPLES),
      stats: null,
      heard: 0,
      met: now,
      started: null,
      restarted: null,
      skew: Infinity,
      listed: true,
    };
    this.#byName.set(name, node);
    return node;
  }

  /** Takes one second of a node in. False: it was taken in already, or is none. */
  take(topic: string, stats: Stats, now: number): boolean {
    const at = figure(stats, "at");
    const name = typeof stats["node"] === "string" ? stats["node"] : topic.split("/")[1];
    if (name === undefined || at === null) return false;
    const node = this.meet(name, now);
    const started = figure(stats, "process_start_time_seconds");
    const isSameLife = node.started === started;
    if (isSameLife && at <= (figure(node.stats, "at") ?? 0)) return false;
    if (node.started !== null && !isSameLife) node.restarted = now;
    node.samples.push(sampleOf(stats, isSameLife ? node.stats : null, timeOf(node, at, now)));
    node.started = started;
    node.stats = stats;
    node.heard = now;
    return true;
  }

  /** Which nodes the cluster counts, also those of which nothing is heard. */
  list(names: ReadonlySet<string>, now: number): void {
    for (const name of names) this.meet(name, now);
    for (const node of this.#byName.values()) node.listed = names.has(node.name);
  }

  /** Takes a node off the list, until it is heard again. */
  forget(name: string): void {
    this.#byName.delete(name);
  }

  /** Forgets who is gone and has no figures any more that charts could show. */
  prune(now: number): void {
    for (const node of this.#byName.values()) {
      const past = node.samples.at(-1)?.at ?? node.met;
      if (!node.listed && now - past > KEPT_MS) this.forget(node.name);
    }
  }

  #forgetLongestSilent(): void {
    const [longest] = [...this.#byName.values()].sort((a, b) => a.heard - b.heard);
    if (longest) this.forget(longest.name);
  }
}

/** ms for which nothing came of it although since `listening` it could have; 0 while all is
 * well. */
export function silence(node: Node, now: number, listening: number): number {
  const quiet = now - Math.max(node.heard, node.met, listening);
  return quiet > SILENT_MS ? now - (node.heard || node.met) : 0;
}

/** The cluster does not count it any more, or will not when it is asked again. */
export function isGone(node: Node, now: number, listening: number): boolean {
  return !node.listed || silence(node, now, listening) > FORGOTTEN_MS;
}
