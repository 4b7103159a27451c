/**
 * The list of the Watch page: follows what comes until somebody goes back in it, and is read by
 * keys.
 */
import { useEffect, useRef } from "preact/hooks";
import { LongList } from "./long_list.js";
import { fillRow, makeRow } from "./message_rows.js";
import type { Watcher } from "./watcher.js";
import type { MessageRow, Row } from "../model/feed.js";

/** Time in a frame that the text filter may take; the rest is for drawing. */
const SEARCH_MS = 4;

/** Connects a list with a watcher. Lives as long as the two do. */
class Reader {
  readonly list: LongList;
  selected: Row | null = null;
  onSelect: (row: Row | null) => void = () => {};
  /** Somebody has left the end of the list, so that coming back to it means something. */
  #hasLeft = false;
  readonly #host: HTMLElement;
  readonly #watcher: Watcher;
  readonly #listeners = new AbortController();

  constructor(host: HTMLElement, watcher: Watcher, filter: string) {
    this.#host = host;
    this.#watcher = watcher;
    const { feed } = watcher;
    this.list = new LongList({
      host,
      make: makeRow,
      fill: (element, number) => {
        const row = feed.at(number);
        if (!row) return;
        fillRow(element, row, filter, row === this.selected);
      },
      range: () => {
        const until = performance.now() + SEARCH_MS;
        if (!feed.advance(() => performance.now() > until)) this.list.schedule();
        return { first: feed.first, end: feed.end };
      },
    });
    this.list.follow = true;
    watcher.onChange = this.list.schedule;
    this.#listen();
  }

  #listen(): void {
    const { signal } = this.#listeners;
    const on = (type: string, handle: (event: Event) => void): void => {
      this.#host.addEventListener(type, handle, { signal, passive: type !== "keydown" });
    };
    on("wheel", (event) => (event as WheelEvent).deltaY < 0 && this.#hold());
    on("touchmove", () => this.#hold());
    on("scroll", () => this.#onScroll());
    on("click", (event) => this.#onClick(event));
    on("keydown", (event) => this.#onKey(event as KeyboardEvent));
  }

  #hold(): void {
    if (this.list.count === 0) return;
    // At once, not when the signal is noticed: the next frame would take the reader back to the
    // end.
    this.list.follow = false;
    this.#watcher.hold("reading");
  }

  /** Whoever comes back to the end goes on, unless it is paused. */
  #onScroll(): void {
    if (!this.list.isAtEnd) {
      this.#hasLeft = true;
      if (this.list.follow) this.#hold();
    } else if (this.#hasLeft && !this.selected && this.#watcher.holding.peek() === "reading") {
      this.#watcher.release();
    }
  }

  #onClick(event: Event): void {
    const number = this.list.numberAt(event.target);
    if (number !== null) this.#select(number, false);
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.selected) this.onSelect(null);
    else if (event.key === " ") this.#togglePause();
    else {
      const next = this.list.afterKey(event.key);
      if (next === null) return;
      this.#hold();
      this.#select(next, true);
    }
    event.preventDefault();
  }

  #togglePause(): void {
    if (this.#watcher.holding.peek() === "no") this.#watcher.hold("paused");
    else this.#watcher.release();
  }

  #select(number: number, show: boolean): void {
    const row = this.#watcher.feed.at(number);
    if (!row) return;
    this.#hold();
    this.list.setActive(number, show);
    this.onSelect(row);
  }

  /** Draws the selection where it has changed. */
  setSelected(row: Row | null): void {
    if (this.selected === row) return;
    this.selected = row;
    if (!row) this.list.setActive(null, false);
    this.list.refill();
  }

  setFollow(follow: boolean): void {
    if (this.list.follow === follow) return;
    this.list.follow = follow;
    this.#hasLeft = false;
    if (follow) this.list.setActive(null, false);
    this.list.schedule();
  }

  search(text: string): void {
    this.#watcher.feed.search(text);
    this.list.setActive(null, false);
  }

  destroy(): void {
    this.#listeners.abort();
    this.#watcher.onChange = () => {};
    this.list.destroy();
  }
}

export function MessageList(props: {
  watcher: Watcher;
  filter: string;
  search: string;
  selected: Row | null;
  onSelect: (row: MessageRow | null) => void;
}) {
  const { watcher, filter } = props;
  const host = useRef<HTMLDivElement>(null);
  const reader = useRef<Reader | null>(null);
  useEffect(() => {
    if (!host.current) return;
    const made = new Reader(host.current, watcher, filter);
    reader.current = made;
    return () => made.destroy();
  }, [watcher, filter]);
  useEffect(() => reader.current?.search(props.search), [watcher, filter, props.search]);
  useEffect(
    () => reader.current?.setFollow(watcher.holding.value === "no"),
    [watcher.holding.value, watcher],
  );
  useEffect(() => {
    if (!reader.current) return;
    reader.current.onSelect = (row) => props.onSelect(row?.kind === "message" ? row : null);
    reader.current.setSelected(props.selected);
  }, [props.onSelect, props.selected, watcher, filter]);
  return (
    <div
      ref={host}
      class="rows messages"
      role="listbox"
      aria-label="Messages, newest last"
      tabIndex={0}
      data-keys="off"
    />
  );
}
