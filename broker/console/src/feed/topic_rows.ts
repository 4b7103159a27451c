/** Draws rows of the Topics page into elements that are used again. */
import { oneLine } from "../model/json_text.js";
import { rate, text } from "../parts/format.js";
import { href } from "../route.js";
import type { LastValue, LastValues } from "./last_values.js";
import type { BrowserRow } from "./topic_browser.js";

interface Cells {
  name: HTMLElement;
  count: HTMLElement;
  retained: HTMLElement;
  value: HTMLElement;
  rate: HTMLElement;
  watch: HTMLAnchorElement;
}

const LINE = 200;
const cells = new WeakMap<HTMLElement, Cells>();

function span(className: string): HTMLElement {
  const element = document.createElement("span");
  element.className = className;
  return element;
}

export function makeTopicRow(): HTMLElement {
  const row = document.createElement("div");
  row.setAttribute("role", "treeitem");
  const inside: Cells = {
    name: span("row-name"),
    count: span("row-count"),
    retained: span("row-retained"),
    value: span("row-data"),
    rate: span("row-rate num"),
    watch: document.createElement("a"),
  };
  inside.watch.className = "row-watch";
  inside.watch.textContent = "Watch";
  inside.watch.tabIndex = -1;
  inside.retained.textContent = "retained";
  const sign = span("row-sign");
  sign.setAttribute("aria-hidden", "true");
  const { name, count, retained, value, rate: rateCell, watch } = inside;
  row.append(sign, name, count, retained, value, rateCell, watch);
  cells.set(row, inside);
  return row;
}

function setText(element: HTMLElement, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

function setAttribute(element: HTMLElement, name: string, value: string | null): void {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function lastLine(value: LastValue | undefined): string {
  if (!value) return "";
  return value.message ? oneLine(value.message.data, LINE) : (value.note ?? "");
}

/** What the Watch page is to subscribe to for a row: the topic, or all below the level. */
export function filterOf(row: BrowserRow): string {
  if (row.kind !== "level" || !row.hasBelow) return row.path ?? "#";
  return `${row.path}/#`;
}

/** The name of a level may be empty: that is said. */
function nameOf(row: BrowserRow): string {
  if (row.kind === "rest") return row.text;
  if (row.kind === "topic") return row.path;
  return row.level === "" ? "(empty)" : row.level;
}

export function fillTopicRow(
  element: HTMLElement,
  row: BrowserRow,
  values: LastValues,
  isSelected: boolean,
): void {
  const inside = cells.get(element);
  if (!inside) return;
  const isLevel = row.kind === "level";
  const topic = row.kind === "topic" ? row.figures : isLevel ? row.figures.topic : undefined;
  const open = isLevel && row.hasBelow ? String(row.isOpen) : null;
  const failed = row.kind === "rest" && row.failed ? " failed" : "";
  const marks = `${isSelected ? " selected" : ""}${open === null ? "" : " branch"}${failed}`;
  element.className = `row topic-row ${row.kind}${marks}`;
  setAttribute(element, "aria-level", String(row.kind === "topic" ? 1 : row.depth + 1));
  setAttribute(element, "aria-expanded", open);
  setAttribute(element, "aria-selected", String(isSelected));
  element.style.setProperty("--depth", String(row.kind === "topic" ? 0 : row.depth));
  setText(inside.name, nameOf(row));
  setText(inside.count, isLevel && row.hasBelow ? row.figures.topics.toLocaleString("en-US") : "");
  setText(inside.value, topic ? lastLine(values.get(topic.topic)) : "");
  setText(
    inside.rate,
    row.kind === "rest" ? "" : row.figures.rate > 0 ? text(rate(row.figures.rate)) : "–",
  );
  inside.retained.hidden = topic?.retained !== true;
  inside.watch.hidden = row.kind === "rest";
  if (row.kind !== "rest") inside.watch.href = href("watch", { filter: filterOf(row), last: 1 });
}
