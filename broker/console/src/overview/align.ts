/**
 * Brings the samples of several nodes onto one axis of time, as uPlot wants them: each point of
 * time once, ascending; for a node, `undefined` where only others have a sample (the line goes on),
 * and `null` where it has none although it should (the line breaks). Every sample stands there
 * exactly once.
 */
import type { Ring } from "./ring.js";
import type { Figure, Sample } from "./stats.js";

/** Without a sample for so long a node is silent: samples come each second, and half as late at
 * most. */
export const SILENT_MS = 2400;

export interface Axis {
  /** Unix seconds. */
  times: number[];
  /** For each node, for each time: the sample; `null` a gap; `undefined` nothing. */
  rows: (Sample | null | undefined)[][];
}

interface Point {
  at: number;
  node: number;
  sample: Sample | null;
}

/** The samples from `from` on, with a gap after each that is not followed in time. */
function pointsOf(samples: Ring<Sample>, node: number, from: number): Point[] {
  let first = samples.length;
  while (first > 0 && (samples.at(first - 1)?.at ?? 0) >= from) first--;
  const points: Point[] = [];
  let last: Sample | null = null;
  for (let i = first; i < samples.length; i++) {
    const sample = samples.at(i) as Sample;
    if (last && sample.at - last.at > SILENT_MS)
      points.push({ at: last.at + SILENT_MS, node, sample: null });
    points.push({ at: sample.at, node, sample });
    last = sample;
  }
  return points;
}

/** Where the line of a node breaks, it breaks at each time between: uPlot draws across what is
 * undefined. */
function breakAtGaps<T>(row: (T | null | undefined)[]): (T | null | undefined)[] {
  for (let gap = row.indexOf(null); gap >= 0; gap = row.indexOf(null, gap + 1)) {
    for (let i = gap - 1; i >= 0 && row[i] === undefined; i--) row[i] = null;
    for (; gap + 1 < row.length && row[gap + 1] === undefined; gap++) row[gap + 1] = null;
  }
  return row;
}

export function align(nodes: readonly Ring<Sample>[], from: number): Axis {
  const points = nodes.flatMap((samples, node) => pointsOf(samples, node, from));
  points.sort((a, b) => a.at - b.at);
  const times = [...new Set(points.map((point) => point.at / 1000))];
  const rows = nodes.map(() => new Array<Sample | null | undefined>(times.length).fill(undefined));
  let i = 0;
  for (const point of points) {
    if (point.at / 1000 !== times[i]) i++;
    (rows[point.node] as (Sample | null)[])[i] = point.sample;
  }
  return { times, rows };
}

/** One figure of one node along the axis. */
export function column(axis: Axis, node: number, name: Figure): (number | null | undefined)[] {
  return breakAtGaps((axis.rows[node] ?? []).map((sample) => (sample ? sample[name] : sample)));
}

/** The same of all nodes together: at each time the latest of each that is not silent then. */
export function total(axis: Axis, name: Figure): (number | null)[] {
  const latest: (Sample | null)[] = axis.rows.map(() => null);
  return axis.times.map((seconds, i) => {
    let sum: number | null = null;
    axis.rows.forEach((row, node) => {
      if (row[i] !== undefined) latest[node] = row[i] ?? null;
      const sample = latest[node];
      if (!sample || seconds * 1000 - sample.at >= SILENT_MS) return;
      const value = sample[name];
      if (value !== null) sum = (sum ?? 0) + value;
    });
    return sum;
  });
}

/** The sample that was in force at a time, unless the node was silent then. */
export function sampleAt(samples: Ring<Sample>, at: number): Sample | null {
  for (let i = samples.length - 1; i >= 0; i--) {
    const sample = samples.at(i);
    if (!sample || sample.at > at) continue;
    return at - sample.at < SILENT_MS ? sample : null;
  }
  return null;
}
