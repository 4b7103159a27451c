/**
 * A line chart on uPlot, over time. What it shows comes by its props; it keeps to the window that
 * it is given, draws itself again when the colours change, and tells at which time somebody points.
 * For who does not see it, it is a picture whose label says what the lines say.
 */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { shownTheme } from "../theme.js";
import type { Quantity } from "./format.js";
import { text } from "./format.js";

export interface Line {
  label: string;
  /** Name of a custom property: `--series-1`. */
  color: string;
  dashed?: boolean;
  /** The ground below it is tinted. */
  filled?: boolean;
}

export interface ChartProps {
  label: string;
  lines: readonly Line[];
  /** Unix seconds, and for each line its values: `null` breaks it, `undefined` does not. */
  data: uPlot.AlignedData;
  /** Unix seconds. */
  from: number;
  to: number;
  format: (n: number) => Quantity;
  /** Of what the steps of the vertical axis are: bytes go by powers of two, counts have no
   * fractions. */
  steps?: "any" | "whole" | "binary";
  /** The vertical axis reaches at least so far. */
  least?: number;
  /** Unix seconds at which a vertical line stands. */
  at: number | null;
  onPoint: (at: number | null) => void;
}

/** The element of a chart; whoever finds it can look at its data. */
export interface ChartElement extends HTMLDivElement {
  plot?: uPlot | null;
}

const NARROW_PX = 220;
const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const two = (n: number): string => String(n).padStart(2, "0");

function timeLabels(_: uPlot, splits: number[]): string[] {
  const isFine = splits.some((s) => s % 60 !== 0);
  return splits.map((s) => {
    const d = new Date(s * 1000);
    const minute = `${two(d.getHours())}:${two(d.getMinutes())}`;
    return isFine ? `${minute}:${two(d.getSeconds())}` : minute;
  });
}

const TIME_STEPS = [20, 30, 60, 120, 300, 600];
const STEPS = {
  any: {},
  whole: {
    incrs: Array.from({ length: 36 }, (_, i) => [1, 2, 5][i % 3]! * 10 ** Math.floor(i / 3)),
  },
  binary: { incrs: Array.from({ length: 50 }, (_, i) => 2 ** i) },
};

/** In a narrow chart "1.5k" and "256K" have to do. */
function short(props: ChartProps, n: number): string {
  const { value, unit } = props.format(n);
  if (props.steps === "binary") return value + unit.charAt(0).replace("B", "");
  const size = Number(value.replace(",", ""));
  return size >= 1000 ? `${size / 1000}k` : value + unit.replace("/s", "");
}

/** All in one unit: where the greatest is in thousands, the others are, too. */
function valueLabels(props: ChartProps, narrow: boolean): (_: uPlot, splits: number[]) => string[] {
  const label = (n: number, most: number): string => {
    if (narrow) return short(props, n);
    if (most >= 10_000 && props.steps !== "binary") return `${n / 1000}\u00a0k`;
    return text(props.format(n)).replace(/\u00a0?\/s/, "");
  };
  return (_, splits) => splits.map((n) => (n === 0 ? "0" : label(n, splits.at(-1) ?? 0)));
}

function axes(props: ChartProps, narrow: boolean): uPlot.Axis[] {
  const look = { stroke: css("--quiet"), font: FONT, ticks: { show: false } };
  const grid = { stroke: css("--grid"), width: 1 };
  return [
    {
      ...look,
      grid: { show: false },
      size: 24,
      gap: 8,
      space: 64,
      incrs: TIME_STEPS,
      values: timeLabels,
    },
    {
      ...look,
      grid,
      size: narrow ? 38 : 54,
      gap: 6,
      space: 26,
      ...STEPS[props.steps ?? "any"],
      values: valueLabels(props, narrow),
    },
  ];
}

/** A sample between two gaps is no line, so it is a point. */
function alone(plot: uPlot, line: number, show: boolean): number[] | null {
  if (!show) return null;
  const values = plot.data[line] ?? [];
  const found: number[] = [];
  let run: number[] = [];
  for (let i = 0; i <= values.length; i++) {
    const value = values[i];
    if (typeof value === "number") run.push(i);
    else if (value === null || i === values.length) {
      if (run.length === 1) found.push(...run);
      run = [];
    }
  }
  return found;
}

function lineOf(line: Line): uPlot.Series {
  const stroke = css(line.color);
  const points = { show: true, filter: alone, size: 3, width: 0, fill: stroke };
  const series: uPlot.Series = { label: line.label, stroke, width: 1.5, points };
  if (line.dashed) series.dash = [4, 3];
  if (line.filled) series.fill = `${stroke}22`;
  return series;
}

function sizeOf(host: HTMLElement): { width: number; height: number } {
  return { width: Math.max(host.clientWidth, 100), height: Math.max(host.clientHeight, 60) };
}

function make(host: HTMLElement, current: { props: ChartProps }): uPlot {
  const { props } = current;
  const narrow = host.clientWidth < NARROW_PX;
  return new uPlot(
    {
      ...sizeOf(host),
      padding: [8, narrow ? 10 : 18, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false, setScale: false },
        points: { show: false },
      },
      scales: {
        x: { time: true, range: () => [current.props.from, current.props.to] },
        y: { range: (_, __, max) => [0, Math.max((max ?? 0) * 1.15, current.props.least ?? 1)] },
      },
      axes: axes(props, narrow),
      series: [{}, ...props.lines.map(lineOf)],
    },
    props.data,
    host,
  );
}

/** Where the pointer is, told by hand: uPlot's own hook cannot tell a pointer from a set cursor. */
function watchPointer(plot: uPlot, current: { props: ChartProps }): void {
  plot.over.addEventListener("pointermove", (event) => {
    const left = event.clientX - plot.over.getBoundingClientRect().left;
    current.props.onPoint(plot.posToVal(left, "x"));
  });
  plot.over.addEventListener("pointerleave", () => current.props.onPoint(null));
}

export function Chart(props: ChartProps) {
  const host = useRef<ChartElement>(null);
  const current = useRef({ props });
  current.current.props = props;
  const look = `${shownTheme.value} ${props.lines.map((l) => `${l.label} ${l.color}`).join(" ")}`;
  useEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    const plot = make(element, current.current);
    element.plot = plot;
    watchPointer(plot, current.current);
    const resizing = new ResizeObserver(() => plot.setSize(sizeOf(element)));
    resizing.observe(element);
    return () => {
      resizing.disconnect();
      element.plot = null;
      plot.destroy();
    };
  }, [look]);
  useEffect(() => {
    host.current?.plot?.setData(props.data);
  }, [props.data, props.from, props.to]);
  useEffect(() => {
    const plot = host.current?.plot;
    const left = plot && props.at !== null ? plot.valToPos(props.at, "x") : -10;
    plot?.setCursor({ left, top: left < 0 ? -10 : 1 }, false);
  }, [props.at, props.from, look]);
  return <div ref={host} class="chart" role="img" aria-label={props.label} />;
}
