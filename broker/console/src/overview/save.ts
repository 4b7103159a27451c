/** Saves the samples that are kept as a file: what a report of the night needs. */
import { dateTime } from "../parts/format.js";
import { nodes } from "./figures.js";
import type { Figure, Sample } from "./stats.js";

const FIGURES: readonly Figure[] = [
  "connections",
  "published",
  "delivered",
  "bytesIn",
  "bytesOut",
  "lost",
  "thinned",
  "gaps",
  "refused",
  "parked",
  "lag",
  "memory",
  "latency",
  "cpu",
];

function rowOf(node: string, sample: Sample): string {
  const values = FIGURES.map((figure) => sample[figure] ?? "");
  return [node, new Date(sample.at).toISOString(), ...values].join(",");
}

/** Node names hold no commas and no quotes, so nothing has to be quoted. */
export function csv(): string {
  const rows = nodes.value.flatMap((node) =>
    [...node.samples].map((sample) => rowOf(node.name, sample)),
  );
  return `${[["node", "at", ...FIGURES].join(","), ...rows].join("\n")}\n`;
}

export function saveSamples(): void {
  const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `fantail ${dateTime(Date.now()).replaceAll(":", "-")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
