/** The nodes, a row each: how each is, and its figures of now or of the time pointed at. */
import { Badge, Dot, Num } from "../parts/badge.js";
import { IconButton } from "../parts/controls.js";
import { byteRate, bytes, count, duration, percent, rate, seconds } from "../parts/format.js";
import { Table, type Column } from "../parts/table.js";
import { now } from "../store.js";
import { healthOf } from "./findings.js";
import { findings, situation } from "./findings_now.js";
import { forget, listening, nodes } from "./figures.js";
import { isGone, type Node } from "./nodes.js";
import type { Figure, Sample } from "./stats.js";
import { colorOf } from "./tiles.js";
import { current, pointed } from "./view.js";

type Format = (n: number | null) => ReturnType<typeof count>;

function value(node: Node, figure: Figure, format: Format) {
  const sample: Sample | null = current.value.get(node.name) ?? null;
  return <Num of={format(sample?.[figure] ?? null)} />;
}

function numeric(key: Figure, title: string, format: Format): Column<Node> {
  return { key, title, numeric: true, cell: (node) => value(node, key, format) };
}

function Health(props: { node: Node }) {
  const { node } = props;
  const health = healthOf(node, situation.value, findings.value);
  return (
    <>
      <Badge tone={health.tone}>
        <Dot tone={health.tone} />
        {health.text}
      </Badge>
      {isGone(node, now.value, listening.value) ? (
        <IconButton
          icon="close"
          class="small"
          label={`Take ${node.name} off the list`}
          onClick={() => forget(node.name)}
        />
      ) : null}
    </>
  );
}

function Name(props: { node: Node }) {
  const { node } = props;
  return (
    <span class="node-name">
      <span class="swatch" style={{ background: `var(${colorOf(node)})` }} aria-hidden="true" />
      <span class="clip" title={node.name}>
        {node.name}
      </span>
    </span>
  );
}

function uptime(node: Node): string {
  return node.started === null ? "–" : duration(now.value - node.started * 1000);
}

function columns(relayed: boolean): Column<Node>[] {
  return [
    { key: "name", title: "Node", heading: true, cell: (node) => <Name node={node} /> },
    { key: "health", title: "Health", class: "health", cell: (node) => <Health node={node} /> },
    numeric("connections", "Connections", count),
    numeric("published", "In", rate),
    numeric("delivered", "Out", rate),
    numeric("bytesOut", "Bytes out", byteRate),
    numeric("lost", "Drops", rate),
    numeric("parked", "Parked", count),
    relayed ? numeric("lag", "Lag", count) : numeric("latency", "To write", seconds),
    numeric("cpu", "CPU", percent),
    numeric("memory", "Memory", bytes),
    {
      key: "uptime",
      title: "Up for",
      numeric: true,
      class: "uptime",
      cell: (node) => <span class="num">{uptime(node)}</span>,
    },
  ];
}

export function NodesTable(props: { relayed: boolean }) {
  return (
    <div class={`panel ${pointed.value === null ? "" : "past"}`}>
      <Table
        caption="Nodes"
        class="cards nodes"
        columns={columns(props.relayed)}
        rows={nodes.value}
        rowKey={(node) => node.name}
      />
    </div>
  );
}
