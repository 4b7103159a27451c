/** What the overview shows of its figures: how far back, whose, and of which time. */
import { computed, effect, signal } from "@preact/signals";
import { downSince, now } from "../store.js";
import { align, sampleAt, type Axis } from "./align.js";
import { nodes } from "./figures.js";
import type { Node } from "./nodes.js";
import type { Sample } from "./stats.js";

const SHORTEST_S = 60;
const STEP_S = 30;

/** Minutes. */
export type Span = "1" | "5" | "15";

export const span = signal<Span>("5");
/** "nodes": a line for each; "total": one for all; else the node of this name. */
export const scope = signal<string>("nodes");
/** Unix ms that somebody points at, or has gone back to; null: now. */
export const pointed = signal<number | null>(null);

/** The second that has begun: charts move on with it, also when nothing comes. */
const second = computed(() => Math.floor(now.value / 1000));

/** Seconds for which there are samples. */
const known = computed(() => {
  const oldest = nodes.value.map((node) => node.samples.at(0)?.at ?? Infinity);
  return second.value - Math.min(...oldest, second.value * 1000) / 1000;
});

/** While there is little to show it has the whole width: the window begins short and grows in
 * steps. */
export const from = computed(() => {
  const grown = Math.max(SHORTEST_S, Math.ceil(known.value / STEP_S) * STEP_S);
  return second.value - Math.min(grown, Number(span.value) * 60);
});
export const to = computed(() => second.value);

/** Those whose lines are drawn. */
export const shown = computed<readonly Node[]>(() => {
  const one = nodes.value.find((node) => node.name === scope.value);
  return one ? [one] : nodes.value;
});

/** One line for all, because there are several nodes and that was asked for. */
export const summed = computed(() => scope.value === "total" && shown.value.length > 1);

export const axis = computed<Axis>(() => {
  const rings = shown.value.map((node) => node.samples);
  return align(rings, from.value * 1000 - 2000); // lines come in from beyond the edge
});

/** Of each node its sample at the time pointed at, or the latest before the connection was lost,
 * or now. */
export const current = computed<ReadonlyMap<string, Sample | null>>(() => {
  const at = pointed.value ?? downSince.value ?? now.value;
  return new Map(nodes.value.map((node) => [node.name, sampleAt(node.samples, at)]));
});

/** What has left the window is not pointed at any more. */
effect(() => {
  if (pointed.value !== null && pointed.value < from.value * 1000) pointed.value = null;
});
