/** Draws rows of the Watch page into elements that are used again. */
import { lineOf, type MessageRow, type NoteRow, type Row } from "../model/feed.js";
import { wildParts } from "../model/levels.js";
import { clockMs } from "../parts/format.js";

/** A row's element and what is in it; nodes are kept and given new text. */
interface Cells {
  time: Text;
  topic: HTMLElement;
  retained: HTMLElement;
  data: Text;
}

const cells = new WeakMap<HTMLElement, Cells>();

export function makeRow(): HTMLElement {
  const row = document.createElement("div");
  row.setAttribute("role", "option");
  const time = new Text();
  const data = new Text();
  const topic = span("row-topic");
  const retained = span("row-retained", new Text("retained"));
  row.append(span("row-time num", time), topic, retained, span("row-data", data));
  cells.set(row, { time, topic, retained, data });
  return row;
}

function span(className: string, ...inside: Node[]): HTMLElement {
  const element = document.createElement("span");
  element.className = className;
  element.append(...inside);
  return element;
}

export function fillRow(element: HTMLElement, row: Row, filter: string, isSelected: boolean): void {
  const inside = cells.get(element);
  if (!inside) return;
  const className = `row ${row.kind}${isSelected ? " selected" : ""}`;
  if (element.className !== className) {
    element.className = className;
    element.setAttribute("aria-selected", String(isSelected));
  }
  if (row.kind === "message") fillMessage(inside, row, filter);
  else fillNote(inside, row);
}

function fillMessage(inside: Cells, row: MessageRow, filter: string): void {
  const { message } = row;
  inside.time.data = message.at === undefined ? "" : clockMs(message.at);
  inside.data.data = lineOf(row);
  const hidden = message.retained !== true;
  if (inside.retained.hidden !== hidden) inside.retained.hidden = hidden;
  fillTopic(inside.topic, filter, message.topic);
}

const SIGNS: Record<NoteRow["kind"], string> = { gap: "gap", break: "connection", note: "note" };

function fillNote(inside: Cells, row: NoteRow): void {
  inside.time.data = clockMs(row.at);
  inside.data.data = row.text;
  inside.retained.hidden = true;
  fillTopic(inside.topic, "", SIGNS[row.kind]);
}

/** Pieces alternate between <span> and <mark>, so most of the time only texts change. */
export function fillTopic(element: HTMLElement, filter: string, topic: string): void {
  const parts = wildParts(filter, topic);
  for (const [i, part] of parts.entries()) {
    const name = part.wild ? "MARK" : "SPAN";
    let child = element.children[i];
    if (child?.tagName !== name) {
      const made = document.createElement(name);
      made.append(new Text());
      if (child) child.replaceWith(made);
      else element.append(made);
      child = made;
    }
    const text = child.firstChild as Text;
    if (text.data !== part.text) text.data = part.text;
  }
  while (element.children.length > parts.length) element.lastElementChild?.remove();
}
