/**
 * The figures of every node, second by second, for as long as the page is open: they are heard all the time, so
 * that the overview has a past when one comes to it. Bounded: a quarter of an hour of each of some nodes.
 */
import { effect, signal } from "@preact/signals";
import type { Message } from "fantail";
import { client, downSince, getJson, isAdmin, now, RequestError } from "../store.js";
import { SILENT_MS } from "./align.js";
import { Ring } from "./ring.js";
import { figure, sampleOf, type Sample, type Stats } from "./stats.js";

export const KEPT_MS = 15 * 60_000;
const KEPT_SAMPLES = 1024; // one a second, and some that come early
const KEPT_NODES = 64;
const ASK_NODES_MS = 5000;
const NODE_FORGOTTEN_MS = 30_000; // by the cluster itself
const CLOCK_ERROR_MS = 2000;

export interface Node {
  readonly name: string;
  /** Its place in the order in which nodes were met: which colour it has. */
  readonly series: number;
  readonly samples: Ring<Sample>;
  stats: Stats | null;
  /** Unix ms of its last figures by this browser's clock; 0: none yet. */
  heard: number;
  /** Unix ms since when it is known. */
  met: number;
  /** Unix ms by its own clock at which it was started. */
  started: number | null;
  /** Unix ms at which it was seen to have been started again. */
  restarted: number | null;
  /** By how much its clock is behind this browser's. */
  skew: number;
  /** What GET /v1/nodes said last: it is one of the cluster. */
  listed: boolean;
}

const byName = new Map<string, Node>();
let met = 0;

/** All that are known, by name; replaced when anything of them has changed. */
export const nodes = signal<readonly Node[]>([]);
/** Unix ms from when on silence is the nodes' own: the connection was not there before, or this page slept. */
export const listening = signal(Date.now());

let changed = false;
let lastTick = Date.now();

/** At most ten times a second, however many nodes tell something. */
function touch(): void {
  if (changed) return;
  changed = true;
  setTimeout(() => {
    changed = false;
    nodes.value = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }, 100);
}

function meet(name: string): Node {
  const known = byName.get(name);
  if (known) return known;
  if (byName.size >= KEPT_NODES) {
    const [longest] = [...byName.values()].sort((a, b) => a.heard - b.heard);
    if (longest) byName.delete(longest.name);
  }
  const node: Node = {
    name,
    series: met++,
    samples: new Ring(KEPT_SAMPLES),
    stats: null,
    heard: 0,
    met: Date.now(),
    started: null,
    restarted: null,
    skew: Infinity,
    listed: true,
  };
  byName.set(name, node);
  return node;
}

/** Takes a node off the list, until it is heard again. */
export function forget(name: string): void {
  byName.delete(name);
  touch();
}

/** A clock that is wrong by little is taken at its word: the network's delay is not its fault. */
function timeOf(node: Node, at: number, arrived: number): number {
  node.skew = Math.min(node.skew, arrived - at);
  return Math.abs(node.skew) > CLOCK_ERROR_MS ? at + node.skew : at;
}

/** Takes one second of a node in; one that was taken in already is left out. */
export function take(message: Pick<Message<Stats>, "topic" | "data">, arrived: number): void {
  const stats = message.data;
  const at = figure(stats, "at");
  const name = typeof stats["node"] === "string" ? stats["node"] : message.topic.split("/")[1];
  if (name === undefined || at === null) return;
  const node = meet(name);
  const started = figure(stats, "process_start_time_seconds");
  const sameLife = node.started === started;
  if (sameLife && at <= (figure(node.stats, "at") ?? 0)) return;
  if (node.started !== null && !sameLife) node.restarted = arrived;
  node.samples.push(sampleOf(stats, sameLife ? node.stats : null, timeOf(node, at, arrived)));
  node.started = started;
  node.stats = stats;
  node.heard = arrived;
  touch();
}

/** ms for which nothing came of it although it could have; 0 while all is well. */
export function silence(node: Node, at: number): number {
  const quiet = at - Math.max(node.heard, listening.value, node.met);
  return quiet > SILENT_MS ? at - (node.heard || node.met) : 0;
}

/** It is not silent by a fault of its own alone: the cluster does not list it any more. */
export function isGone(node: Node, at: number): boolean {
  return !node.listed || silence(node, at) > NODE_FORGOTTEN_MS;
}

interface Listing {
  nodes?: { name?: unknown }[];
}

/** Which nodes there are, also those of which nothing is heard. */
async function askNodes(): Promise<void> {
  try {
    const { nodes: list = [] } = (await getJson("/v1/nodes")) as Listing;
    const names = new Set(list.map((entry) => entry.name).filter((name) => typeof name === "string"));
    for (const name of names) meet(name);
    for (const node of byName.values()) node.listed = names.has(node.name);
    touch();
  } catch (error) {
    // Redis is away, or the broker is: the figures themselves say so.
    if (!(error instanceof RequestError)) throw error;
  }
}

/** After a sleep of this page nobody was silent: what was said meanwhile comes now. */
function tick(at: number): void {
  if (at - lastTick > SILENT_MS) listening.value = at;
  lastTick = at;
  for (const node of byName.values()) {
    const newest = node.samples.at(-1);
    const past = newest ? newest.at : node.met;
    if (!node.listed && at - past > KEPT_MS) forget(node.name);
  }
}

/** Listens for as long as there is a client whose user may. */
export function listen(): void {
  effect(() => tick(now.value));
  effect(() => {
    if (downSince.value === null) listening.value = Date.now();
  });
  effect(() => {
    const current = client.value;
    if (!current || isAdmin.value !== true) return;
    const subscription = current.subscribe<Stats>("$sys/+/stats", {
      onMessage: (message) => take(message, Date.now()),
    });
    const timer = setInterval(() => {
      if (downSince.peek() === null) void askNodes();
    }, ASK_NODES_MS);
    void askNodes();
    return () => {
      clearInterval(timer);
      subscription.close();
    };
  });
}
