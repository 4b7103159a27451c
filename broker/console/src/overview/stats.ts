/**
 * Reads what a node tells of itself (`$sys/<node>/stats`, deploy/metrics.md) into the few figures
 * that the overview keeps of each second. A broker may leave figures out or add some, so nothing is
 * taken for granted: what is not there is null.
 */
export type Stats = Readonly<Record<string, unknown>>;

/** One second of one node. Rates are of the second before; those that its first one lacks are
 * null. */
export interface Sample {
  /** Unix ms by this browser's clock. */
  at: number;
  connections: number | null;
  published: number | null;
  delivered: number | null;
  bytesIn: number | null;
  bytesOut: number | null;
  /** Publications a second that slow sessions did not get. */
  lost: number | null;
  /** The same, left out on purpose because a newer one of the topic came. */
  thinned: number | null;
  gaps: number | null;
  refused: number | null;
  parked: number | null;
  /** Publications that Redis has and the node has not, of all partitions that it takes part in. */
  lag: number | null;
  memory: number | null;
  /** Seconds from taking a publication in to having written it, on average. */
  latency: number | null;
  /** Cores in use. */
  cpu: number | null;
}

export type Figure = Exclude<keyof Sample, "at">;

/** A number; of a map or an array the sum of its numbers; null where there is none. */
export function figure(stats: Stats | null, name: string, label?: string): number | null {
  const value = stats?.[name];
  if (typeof value === "number") return value;
  if (typeof value !== "object" || value === null) return null;
  if (label !== undefined) {
    const part = (value as Record<string, unknown>)[label];
    return typeof part === "number" ? part : null;
  }
  const parts = Object.values(value).filter((part): part is number => typeof part === "number");
  return parts.length === 0 ? null : parts.reduce((sum, part) => sum + part, 0);
}

/** The greatest number of an array. */
export function greatest(stats: Stats | null, name: string): number | null {
  const value = stats?.[name];
  if (!Array.isArray(value)) return typeof value === "number" ? value : null;
  const parts = value.filter((part): part is number => typeof part === "number");
  return parts.length === 0 ? null : Math.max(...parts);
}

/** By how much a counter has grown a second; null across a restart. */
function growth(stats: Stats, before: Stats | null, name: string, label?: string): number | null {
  const [to, from] = [figure(stats, name, label), figure(before, name, label)];
  const [at, since] = [figure(stats, "at"), figure(before, "at")];
  if (to === null || from === null || at === null || since === null) return null;
  return at <= since || to < from ? null : ((to - from) * 1000) / (at - since);
}

function add(a: number | null, b: number | null): number | null {
  return a === null ? b : a + (b ?? 0);
}

/** The mean of what a histogram has taken in since. */
function mean(stats: Stats, before: Stats | null, name: string): number | null {
  const grown = growth(stats, before, name, "count");
  const sum = growth(stats, before, name, "sum");
  return grown === null || sum === null || grown === 0 ? null : sum / grown;
}

/** `before`: the same node's stats of the second before, of the same life of the node; else
 * null. */
export function sampleOf(stats: Stats, before: Stats | null, at: number): Sample {
  const rates = (stats["rates"] ?? null) as Stats | null;
  return {
    at,
    connections: figure(stats, "connections"),
    published: figure(rates, "publications_received"),
    delivered: figure(rates, "deliveries"),
    bytesIn: figure(rates, "publications_received_bytes"),
    bytesOut: figure(rates, "deliveries_bytes"),
    lost: growth(stats, before, "deliveries_dropped", "slow"),
    thinned: add(
      growth(stats, before, "deliveries_dropped", "latest"),
      growth(stats, before, "deliveries_dropped", "every"),
    ),
    gaps: growth(stats, before, "gaps"),
    refused: figure(rates, "publications_refused"),
    parked: figure(stats, "sessions_parked"),
    lag: figure(stats, "relay_lag") ?? figure(stats, "relay_partition_lag"),
    memory: figure(stats, "process_resident_memory_bytes"),
    latency: mean(stats, before, "publish_to_write_seconds"),
    cpu: figure(rates, "process_cpu_seconds"),
  };
}
