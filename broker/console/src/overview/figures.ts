/**
 * The figures of every node, for as long as the page is open: they are heard all the time, so that
 * the overview has a past when one comes to it.
 */
import { effect, signal } from "@preact/signals";
import { client, downSince, getJson, isAdmin, now, RequestError } from "../store.js";
import { SILENT_MS } from "./align.js";
import { Nodes, type Node } from "./nodes.js";
import type { Stats } from "./stats.js";

const ASK_NODES_MS = 5000;
const PACE_MS = 100;
const PACE_OF_MANY_MS = 1000;
const MANY = 4;

const known = new Nodes();

/** All that are known, by name; replaced when anything of them has changed. */
export const nodes = signal<readonly Node[]>([]);
/** Unix ms from when on silence is the nodes' own: the connection was not there before, or this
 * page slept. */
export const listening = signal(Date.now());

/** The broker has been asked which nodes there are: all rows come at once, and push nothing
 * aside. */
let isAsked = false;
let changed = false;
let lastTick = Date.now();

/** Once for all that comes at the same time; of many nodes, which tell at many times, once a
 * second. */
function touch(): void {
  if (changed) return;
  changed = true;
  setTimeout(
    () => {
      changed = false;
      if (isAsked) nodes.value = known.all();
    },
    nodes.peek().length > MANY ? PACE_OF_MANY_MS : PACE_MS,
  );
}

/** Takes a node off the list, until it is heard again. */
export function forget(name: string): void {
  known.forget(name);
  touch();
}

interface Listing {
  nodes?: { name?: unknown }[];
}

/** Which nodes there are, also those of which nothing is heard. */
async function askNodes(): Promise<void> {
  try {
    const { nodes: list = [] } = (await getJson("/v1/nodes")) as Listing;
    const names = list.map((entry) => entry.name).filter((name) => typeof name === "string");
    known.list(new Set(names), Date.now());
  } catch (error) {
    // Redis is away, or the broker is: the figures themselves say so.
    if (!(error instanceof RequestError)) throw error;
  }
  isAsked = true;
  touch();
}

/** After a sleep of this page nobody was silent: what was said meanwhile comes now. */
function tick(at: number): void {
  if (at - lastTick > SILENT_MS) listening.value = at;
  lastTick = at;
  known.prune(at);
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
      onMessage: ({ topic, data }) => {
        if (known.take(topic, data, Date.now())) touch();
      },
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
