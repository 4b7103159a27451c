/**
 * What the Topics page shows: the tree, or the topics that a search finds, busiest first. Fetched
 * from the broker, and again every two seconds for what is in sight.
 */
import { signal } from "@preact/signals";
import type { Client } from "fantail";
import { filterError } from "../model/levels.js";
import type { Span } from "../model/rows.js";
import {
  joined,
  TopicTree,
  type LevelFigures,
  type LevelPage,
  type TopicFigures,
  type TreeRow,
} from "../model/tree.js";
import { getJson } from "../store.js";
import { LastValues } from "./last_values.js";

export interface FoundRow {
  kind: "topic";
  path: string;
  figures: TopicFigures;
}

export type BrowserRow = TreeRow | FoundRow;

interface TopicList {
  topics: TopicFigures[];
  total: number;
  more: boolean;
}

const REFRESH_MS = 2000;
const LEVELS = 200;
const FOUND = 500;

/** As the broker says it: a topic at a level is known by where it stands. */
interface LevelsAnswer {
  levels: (Omit<LevelFigures, "topic"> & { topic?: Omit<TopicFigures, "topic"> })[];
  more: boolean;
}

async function fetchLevels(under: string | null, after: string | null): Promise<LevelPage> {
  const query = new URLSearchParams({ levels: "1", limit: String(LEVELS) });
  if (under !== null) query.set("under", under);
  if (after !== null) query.set("after", after);
  const answer = (await getJson(`/v1/topics?${query}`)) as LevelsAnswer;
  const levels = answer.levels.map(({ topic, ...level }): LevelFigures => {
    return topic ? { ...level, topic: { ...topic, topic: joined(under, level.level) } } : level;
  });
  return { levels, more: answer.more };
}

/** Text with a wildcard is a filter; any other is looked for in the names. */
export function searchQuery(text: string): URLSearchParams {
  const isFilter = /[+#]/.test(text) && filterError(text) === null;
  const query = new URLSearchParams({ sort: "rate", limit: String(FOUND) });
  if (text !== "") query.set(isFilter ? "filter" : "contains", text);
  return query;
}

export class TopicBrowser {
  onChange = (): void => {};
  readonly values: LastValues;
  readonly tree = new TopicTree(fetchLevels);
  readonly error = signal<unknown>(null);
  /** False until there is something to show, or it is known that there is nothing. */
  readonly isReady = signal(false);
  /** How many topics a search finds, of which `rows` may be the first few; null in the tree. */
  readonly found = signal<number | null>(null);
  #search: string | null = null;
  /** The first levels have been fetched, even if there were none. */
  #isOpen = false;
  #rows: FoundRow[] = [];
  #inSight: Span = { first: 0, end: 0 };
  #stop = new AbortController();
  #timer = 0;

  constructor(client: Client) {
    this.values = new LastValues(client);
    this.values.onChange = () => this.onChange();
    this.tree.onChange = () => this.onChange();
  }

  get rows(): readonly BrowserRow[] {
    return this.#search === null ? this.tree.rows : this.#rows;
  }

  /** Shows the tree (null), or what a search finds; an empty one finds all. */
  show(search: string | null): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    clearTimeout(this.#timer);
    this.#search = search;
    this.#rows = [];
    this.found.value = null;
    this.isReady.value = search === null && this.tree.rows.length > 0;
    this.onChange();
    void this.#run(this.#stop.signal);
  }

  /** Rows that somebody sees; their figures are kept fresh. */
  setInSight(span: Span): void {
    const isSame = span.first === this.#inSight.first && span.end === this.#inSight.end;
    this.#inSight = span;
    if (!isSame) this.#wantValues();
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.values.close();
  }

  /** Fetches now and then until it is stopped. A page that nobody looks at asks for nothing. */
  async #run(stop: AbortSignal): Promise<void> {
    if (!document.hidden) await this.#refresh(stop);
    if (stop.aborted) return;
    this.#timer = window.setTimeout(() => void this.#run(stop), REFRESH_MS);
  }

  async #refresh(stop: AbortSignal): Promise<void> {
    try {
      if (this.#search !== null) await this.#find(this.#search, stop);
      else await this.#refreshTree();
      if (stop.aborted) return;
      this.error.value = null;
      this.isReady.value = true;
      this.#wantValues();
    } catch (error) {
      if (!stop.aborted) this.error.value = error;
    }
  }

  async #refreshTree(): Promise<void> {
    const { tree } = this;
    const wasEmpty = tree.rows.length === 0;
    if (this.#isOpen) await tree.refresh(this.#inSight.first, this.#inSight.end);
    if (wasEmpty) await tree.open(null);
    this.#isOpen = true;
  }

  async #find(search: string, stop: AbortSignal): Promise<void> {
    const list = (await getJson(`/v1/topics?${searchQuery(search)}`, stop)) as TopicList;
    if (stop.aborted) return;
    this.#rows = list.topics.map((figures) => ({ kind: "topic", path: figures.topic, figures }));
    this.found.value = list.total;
    this.onChange();
  }

  #wantValues(): void {
    const { first, end } = this.#inSight;
    const topics: TopicFigures[] = [];
    for (const row of this.rows.slice(first, end)) {
      if (row.kind === "topic") topics.push(row.figures);
      else if (row.kind === "level" && row.figures.topic) topics.push(row.figures.topic);
    }
    this.values.want(topics);
  }
}
