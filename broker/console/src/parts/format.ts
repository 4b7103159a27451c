/**
 * Numbers as people read them: few digits, a unit, always the same width for the same size. Each
 * gives the parts, because the unit is set smaller; `text()` joins them with a space that does not
 * break.
 */
export interface Quantity {
  value: string;
  unit: string;
}

export const NONE: Quantity = { value: "–", unit: "" };

export function text(quantity: Quantity): string {
  return quantity.unit === "" ? quantity.value : `${quantity.value}\u00a0${quantity.unit}`;
}

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function digits(n: number): string {
  const size = Math.abs(n);
  if (size === 0) return "0";
  if (size < 0.01) return "< 0.01";
  if (size < 0.995) return n.toFixed(2);
  if (size < 99.95) return n.toFixed(1).replace(/\.0$/, "");
  return grouped.format(n);
}

function scaled(n: number, step: number, units: readonly string[]): Quantity {
  let size = n;
  let at = 0;
  while (Math.abs(size) >= step * 0.9995 && at < units.length - 1) {
    size /= step;
    at++;
  }
  return { value: digits(size), unit: units[at] ?? "" };
}

/** A whole number: 7, 4,321, 12.3 k, 1.2 M. */
export function count(n: number | null | undefined): Quantity {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  if (Math.abs(n) < 10_000) return { value: grouped.format(n), unit: "" };
  return scaled(n, 1000, ["", "k", "M", "G"]);
}

/** So many a second. */
export function rate(n: number | null | undefined): Quantity {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  if (Math.abs(n) < 10_000) return { value: digits(n), unit: "/s" };
  const many = scaled(n, 1000, ["", "k", "M", "G"]);
  return { value: many.value, unit: `${many.unit}/s` };
}

export function bytes(n: number | null | undefined): Quantity {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  return scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
}

export function byteRate(n: number | null | undefined): Quantity {
  const size = bytes(n);
  return size === NONE ? NONE : { value: size.value, unit: `${size.unit}/s` };
}

/** A short time, from seconds: 85 µs, 1.2 ms, 3.4 s. */
export function seconds(n: number | null | undefined): Quantity {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  if (n === 0) return { value: "0", unit: "ms" };
  if (n < 1e-3) return { value: digits(n * 1e6), unit: "µs" };
  if (n < 1) return { value: digits(n * 1e3), unit: "ms" };
  return { value: digits(n), unit: "s" };
}

export function percent(share: number | null | undefined): Quantity {
  if (share === null || share === undefined || !Number.isFinite(share)) return NONE;
  return { value: digits(share * 100), unit: "%" };
}

/** How long something has lasted, in its two greatest units: 12 s, 3 min 20 s, 2 h 5 min, 4 d 3
 * h. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s}\u00a0s`;
  const steps: [number, string][] = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const from = steps.findIndex(([size]) => s >= size);
  const [big, small] = [steps[from], steps[from + 1]];
  if (!big || !small) return `${s}\u00a0s`;
  const rest = Math.floor((s % big[0]) / small[0]);
  const head = `${Math.floor(s / big[0])}\u00a0${big[1]}`;
  return rest === 0 ? head : `${head} ${rest}\u00a0${small[1]}`;
}

const two = (n: number): string => String(n).padStart(2, "0");

/** 03:07:09, in this browser's time zone. */
export function clock(ms: number): string {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** 03:07:09.042: for publications, of which many come in a second. */
export function clockMs(ms: number): string {
  return `${clock(ms)}.${String(Math.floor(ms) % 1000).padStart(3, "0")}`;
}

/** 2026-11-22 03:07:09: where the day may be another one. */
export function dateTime(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}`;
}

/** "1 session", "3 sessions". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${text(count(n))} ${n === 1 ? one : many}`;
}
