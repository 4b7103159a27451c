/** The figures, each with its chart: what it is now (or was at the time pointed at), and how it
 * came to that. */
import type { AlignedData } from "uplot";
import { useMemo } from "preact/hooks";
import { Num } from "../parts/badge.js";
import { Chart, type Line } from "../parts/chart.js";
import {
  byteRate,
  bytes,
  count,
  percent,
  rate,
  seconds,
  text,
  type Quantity,
} from "../parts/format.js";
import { column, total } from "./align.js";
import type { Finding } from "./findings.js";
import type { Node } from "./nodes.js";
import type { Figure } from "./stats.js";
import { axis, current, from, pointed, shown, span, summed, to } from "./view.js";

interface Part {
  figure: Figure;
  /** Beside the number, where a tile has two. */
  name?: string;
}

interface Tile {
  title: string;
  /** What it is exactly, where the title leaves a question. */
  hint: string;
  parts: readonly [Part, ...Part[]];
  format: (n: number | null) => Quantity;
  least: number;
  steps?: "whole" | "binary";
  /** All nodes together are as far as the worst of them, not their sum. */
  worst?: boolean;
  /** A figure in small print. */
  aside?: { figure: Figure; say: (n: number) => string };
  cluster?: boolean;
}

const LATENCY: Tile = {
  title: "Publish to write",
  hint: "From taking a publication in to having written it to all who were ready, on average",
  parts: [{ figure: "latency" }],
  format: seconds,
  least: 0.001,
  worst: true,
};

const LAG: Tile = {
  title: "Relay lag",
  hint: "Publications that Redis has and a node has not",
  parts: [{ figure: "lag" }],
  format: count,
  least: 10,
  steps: "whole",
  worst: true,
};

const FIRST: readonly Tile[] = [
  {
    title: "Connections",
    hint: "Open now",
    parts: [{ figure: "connections" }],
    format: count,
    least: 10,
    steps: "whole",
  },
  {
    title: "Publications in",
    hint: "Taken in from publishers",
    parts: [{ figure: "published" }],
    format: rate,
    least: 10,
    aside: { figure: "refused", say: (n) => (n > 0 ? `${text(rate(n))} refused` : "") },
  },
  {
    title: "Deliveries out",
    hint: "Written to subscribers, each one counted",
    parts: [{ figure: "delivered" }],
    format: rate,
    least: 10,
    aside: { figure: "thinned", say: (n) => (n > 0 ? `${text(rate(n))} thinned` : "") },
  },
  {
    title: "Bytes",
    hint: "Data of publications in, frames of deliveries out",
    parts: [
      { figure: "bytesOut", name: "out" },
      { figure: "bytesIn", name: "in" },
    ],
    format: byteRate,
    least: 1024,
    steps: "binary",
  },
  {
    title: "Drops and gaps",
    hint: "Publications that slow sessions did not get, and gaps that sessions were told of",
    parts: [
      { figure: "lost", name: "drops" },
      { figure: "gaps", name: "gaps" },
    ],
    format: rate,
    least: 1,
  },
  {
    title: "Parked sessions",
    hint: "They read too slowly and are fed from the journal",
    parts: [{ figure: "parked" }],
    format: count,
    least: 5,
    steps: "whole",
  },
];

const MEMORY: Tile = {
  title: "Memory",
  hint: "Resident",
  parts: [{ figure: "memory" }],
  format: bytes,
  least: 1024 * 1024,
  steps: "binary",
  aside: { figure: "cpu", say: (n) => `CPU ${text(percent(n))}` },
};

function tilesOf(relayed: boolean): readonly Tile[] {
  return [...FIRST, relayed ? LAG : LATENCY, MEMORY];
}

export function colorOf(node: Node): string {
  return `--series-${(node.series % 8) + 1}`;
}

/** What all the nodes that are shown come to. */
function together(tile: Tile, name: Figure): number | null {
  const values = shown.value
    .map((node) => current.value.get(node.name)?.[name] ?? null)
    .filter((value) => value !== null);
  if (values.length === 0) return null;
  return tile.worst ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0);
}

function linesOf(tile: Tile): Line[] {
  return tile.parts.flatMap((part, i) => {
    const dashed = i > 0;
    const suffix = part.name === undefined ? "" : ` ${part.name}`;
    if (summed.value && !tile.worst)
      return [{ label: `all${suffix}`, color: "--text", dashed, filled: i === 0 }];
    const filled = shown.value.length === 1 && i === 0;
    return shown.value.map((node) => ({
      label: node.name + suffix,
      color: colorOf(node),
      dashed,
      filled,
    }));
  });
}

function dataOf(tile: Tile): AlignedData {
  const { times } = axis.value;
  const columns = tile.parts.flatMap((part) =>
    summed.value && !tile.worst
      ? [total(axis.value, part.figure)]
      : shown.value.map((_, node) => column(axis.value, node, part.figure)),
  );
  return [times, ...columns];
}

/** What somebody who does not see the chart should know of it. */
function describe(tile: Tile): string {
  const { figure, name } = tile.parts[0];
  const whose = shown.value.map((node, i) => {
    const seen = column(axis.value, i, figure).filter((n) => typeof n === "number");
    if (seen.length === 0) return `${node.name} nothing`;
    const [low, high] = [Math.min(...seen), Math.max(...seen)];
    return `${node.name} between ${text(tile.format(low))} and ${text(tile.format(high))}`;
  });
  return `${tile.title}${name ? ` (${name})` : ""}, last ${span.value} min: ${whose.join(", ")}`;
}

function Figures(props: { tile: Tile }) {
  const { tile } = props;
  const single = tile.parts.length === 1;
  return (
    <p class="figures">
      {tile.parts.map((part, i) => (
        <span key={part.figure} class={single ? "figure" : "figure one-of"}>
          <Num of={tile.format(together(tile, part.figure))} />
          {part.name === undefined ? null : (
            <span class="part">
              <span class={`stroke ${i > 0 ? "dashed" : ""}`} aria-hidden="true" />
              {part.name}
            </span>
          )}
        </span>
      ))}
    </p>
  );
}

function TileView(props: { tile: Tile; tone: string }) {
  const { tile } = props;
  // The clock ticks oftener than figures come.
  const { label, lines, data } = useMemo(
    () => ({ label: describe(tile), lines: linesOf(tile), data: dataOf(tile) }),
    [axis.value, summed.value, tile.title],
  );
  const aside = tile.aside ? together(tile, tile.aside.figure) : null;
  return (
    <section class={`panel tile ${props.tone}`} aria-label={tile.title}>
      <header>
        <h2 title={tile.hint}>{tile.title}</h2>
        <span class="aside tabular">
          {tile.aside && aside !== null ? tile.aside.say(aside) : ""}
        </span>
      </header>
      <Figures tile={tile} />
      <Chart
        label={label}
        lines={lines}
        data={data}
        from={from.value}
        to={to.value}
        format={tile.format}
        least={tile.least}
        steps={tile.steps ?? "any"}
        at={pointed.value === null ? null : pointed.value / 1000}
        onPoint={(at) => (pointed.value = at === null ? null : at * 1000)}
      />
    </section>
  );
}

export function Tiles(props: { findings: readonly Finding[]; relayed: boolean }) {
  return (
    <div class={`tiles ${pointed.value === null ? "" : "past"}`}>
      {tilesOf(props.relayed).map((tile) => {
        const own = props.findings.find((one) =>
          tile.parts.some((part) => part.figure === one.figure),
        );
        return <TileView key={tile.title} tile={tile} tone={own?.tone ?? ""} />;
      })}
    </div>
  );
}
