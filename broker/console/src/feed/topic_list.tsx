/** The list of the Topics page: a tree, or what a search found, by pointer and by keys. */
import { useEffect, useRef } from "preact/hooks";
import { LongList } from "./long_list.js";
import type { BrowserRow, TopicBrowser } from "./topic_browser.js";
import { fillTopicRow, filterOf, makeTopicRow } from "./topic_rows.js";
import { go } from "../route.js";

/**
 * Connects a list with a browser. Rows are known by their paths, which stay when figures change.
 */
class Chooser {
  onSelect: (row: BrowserRow | null) => void = () => {};
  #selected: string | null = null;
  readonly #list: LongList;
  readonly #host: HTMLElement;
  readonly #browser: TopicBrowser;
  readonly #listeners = new AbortController();

  constructor(host: HTMLElement, browser: TopicBrowser) {
    this.#host = host;
    this.#browser = browser;
    this.#list = new LongList({
      host,
      make: makeTopicRow,
      fill: (element, number) => this.#fill(element, number),
      range: () => ({ first: 0, end: browser.rows.length }),
      onDrawn: (span) => this.#onDrawn(span.first, span.end),
    });
    browser.onChange = () => this.#onChange();
    const { signal } = this.#listeners;
    host.addEventListener("click", (event) => this.#onClick(event), { signal });
    host.addEventListener("dblclick", (event) => this.#watch(this.#rowAt(event)), { signal });
    host.addEventListener("keydown", (event) => this.#onKey(event), { signal });
  }

  #fill(element: HTMLElement, number: number): void {
    const row = this.#browser.rows[number];
    if (row)
      fillTopicRow(
        element,
        row,
        this.#browser.values,
        row.path === this.#selected && row.kind !== "rest",
      );
  }

  /** What is near the end of what was fetched is fetched on. */
  #onDrawn(first: number, end: number): void {
    this.#browser.setInSight({ first, end });
    for (const row of this.#browser.rows.slice(first, end)) {
      if (row.kind === "rest" && !row.failed) void this.#browser.tree.loadMore(row.path);
    }
  }

  /** Rows move when levels open and come; the selected one stays the active one. */
  #onChange(): void {
    const at = this.#indexOf(this.#selected);
    this.#list.setActive(at, false);
    if (at !== null) this.onSelect(this.#browser.rows[at] ?? null);
  }

  #indexOf(path: string | null): number | null {
    if (path === null) return null;
    const at = this.#browser.rows.findIndex((row) => row.path === path && row.kind !== "rest");
    return at < 0 ? null : at;
  }

  #rowAt(event: Event): BrowserRow | undefined {
    const number = this.#list.numberAt(event.target);
    return number === null ? undefined : this.#browser.rows[number];
  }

  #onClick(event: Event): void {
    if (event.target instanceof Element && event.target.closest("a")) return;
    const row = this.#rowAt(event);
    if (row?.kind === "rest") void this.#browser.tree.loadMore(row.path);
    else if (row) {
      const onSign = event.target instanceof Element && event.target.closest(".row-sign") !== null;
      if (row.kind === "level" && row.hasBelow && (onSign || !row.figures.topic))
        this.#toggle(row.path);
      this.select(row.path);
    }
  }

  #toggle(path: string): void {
    const { tree } = this.#browser;
    if (tree.isOpen(path)) tree.close(path);
    else void tree.open(path);
  }

  #watch(row: BrowserRow | undefined): void {
    if (row && row.kind !== "rest") go("watch", { filter: filterOf(row), last: 1 });
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.#list.active;
    const row = at === null ? undefined : this.#browser.rows[at];
    if (event.key === "Enter") this.#watch(row);
    else if (event.key === "ArrowRight" && row?.kind === "level")
      this.#goIn(row.path, row.hasBelow, at);
    else if (event.key === "ArrowLeft" && row?.kind === "level") this.#goOut(row.path);
    else if (event.key === "Escape") this.select(null);
    else {
      const next = this.#list.afterKey(event.key);
      if (next === null) return;
      this.#selectAt(next, event.key === "ArrowUp" || event.key === "PageUp" ? -1 : 1);
    }
    event.preventDefault();
  }

  #goIn(path: string, hasBelow: boolean, at: number | null): void {
    if (!hasBelow) return;
    if (!this.#browser.tree.isOpen(path)) void this.#browser.tree.open(path);
    else if (at !== null) this.#selectAt(at + 1, 1);
  }

  #goOut(path: string): void {
    const cut = path.lastIndexOf("/");
    if (this.#browser.tree.isOpen(path)) this.#browser.tree.close(path);
    else if (cut >= 0) this.select(path.slice(0, cut), true);
  }

  /** Rows that stand for others are passed over. */
  #selectAt(number: number, step: 1 | -1): void {
    const { rows } = this.#browser;
    const isRest = rows[number]?.kind === "rest";
    const row = isRest ? (rows[number + step] ?? rows[number - step]) : rows[number];
    if (row && row.kind !== "rest") this.select(row.path, true);
  }

  select(path: string | null, show = false): void {
    this.#selected = path;
    const at = this.#indexOf(path);
    this.#list.setActive(at, show);
    this.onSelect(at === null ? null : (this.#browser.rows[at] ?? null));
  }

  get selected(): string | null {
    return this.#selected;
  }

  toTop(): void {
    this.#host.scrollTop = 0;
  }

  destroy(): void {
    this.#listeners.abort();
    this.#browser.onChange = () => {};
    this.#list.destroy();
  }
}

export function TopicList(props: {
  browser: TopicBrowser;
  /** What is searched for; the list begins at its top when that changes. */
  search: string | null;
  selected: string | null;
  onSelect: (row: BrowserRow | null) => void;
}) {
  const { browser, search, selected, onSelect } = props;
  const host = useRef<HTMLDivElement>(null);
  const chooser = useRef<Chooser | null>(null);
  useEffect(() => {
    if (!host.current) return;
    const made = new Chooser(host.current, browser);
    chooser.current = made;
    return () => made.destroy();
  }, [browser]);
  useEffect(() => {
    browser.show(search);
    chooser.current?.toTop();
  }, [browser, search]);
  useEffect(() => {
    if (!chooser.current) return;
    chooser.current.onSelect = onSelect;
    if (chooser.current.selected !== selected && selected === null) chooser.current.select(null);
  }, [browser, onSelect, selected]);
  return (
    <div
      ref={host}
      class="rows topics"
      role="tree"
      aria-label={search === null ? "Topics" : "Topics found, busiest first"}
      tabIndex={0}
      data-keys="off"
    />
  );
}
