/**
 * The tree of topics, as far as somebody has opened it. What is below a level is fetched when it is
 * opened, a page at a time, because there may be a hundred thousand; a page is fetched again while
 * it is in sight, for its figures.
 */

/** What the broker says of one topic. */
export interface TopicFigures {
  topic: string;
  rate: number;
  publications: number;
  bytes: number;
  /** Of the latest publication, unix ms. */
  at: number;
  retained: boolean;
}

/** One level below another: its figures are those of all topics at it and below. */
export interface LevelFigures {
  level: string;
  topics: number;
  rate: number;
  publications: number;
  bytes: number;
  at: number;
  /** Where the path itself is a topic. */
  topic?: TopicFigures;
}

export interface LevelPage {
  levels: LevelFigures[];
  /** There are levels behind these. */
  more: boolean;
}

/** `under` null: the first levels of all topics. `after` null: from the beginning. */
export type FetchLevels = (under: string | null, after: string | null) => Promise<LevelPage>;

export interface LevelRow {
  kind: "level";
  path: string;
  level: string;
  depth: number;
  figures: LevelFigures;
  isOpen: boolean;
  hasBelow: boolean;
}

/** Stands for levels that have not been fetched, or says why there are none. */
export interface RestRow {
  kind: "rest";
  path: string | null;
  depth: number;
  text: string;
  failed: boolean;
}

export type TreeRow = LevelRow | RestRow;

interface Branch {
  path: string | null;
  depth: number;
  isOpen: boolean;
  pages: LevelPage[];
  below: Map<string, Branch>;
  isLoading: boolean;
  error: string | null;
}

function newBranch(path: string | null, depth: number): Branch {
  return { path, depth, isOpen: false, pages: [], below: new Map(), isLoading: false, error: null };
}

/** What is below the one path by way of the other. */
export function joined(path: string | null, level: string): string {
  return path === null ? level : `${path}/${level}`;
}

export class TopicTree {
  onChange = (): void => {};
  readonly #fetch: FetchLevels;
  readonly #root = newBranch(null, 0);
  readonly #branches = new Map<string | null, Branch>([[null, this.#root]]);
  #rows: TreeRow[] | null = null;

  constructor(fetch: FetchLevels) {
    this.#fetch = fetch;
  }

  get rows(): readonly TreeRow[] {
    if (!this.#rows) {
      this.#rows = [];
      flatten(this.#root, this.#rows);
    }
    return this.#rows;
  }

  isOpen(path: string): boolean {
    return this.#branches.get(path)?.isOpen ?? false;
  }

  /** Opens a level, and goes on to where there is a choice. Null: the root. */
  async open(path: string | null): Promise<void> {
    const branch = this.#branchOf(path);
    branch.isOpen = true;
    this.#changed();
    if (branch.pages.length === 0) await this.loadMore(path);
    const [only, second] = branch.pages[0]?.levels ?? [];
    if (only && !second && hasBelow(only) && !only.topic) await this.open(joined(path, only.level));
  }

  close(path: string): void {
    const branch = this.#branches.get(path);
    if (!branch) return;
    branch.isOpen = false;
    this.#changed();
  }

  /** Fetches the next page of a level. */
  async loadMore(path: string | null): Promise<void> {
    const branch = this.#branchOf(path);
    const last = branch.pages[branch.pages.length - 1];
    if (branch.isLoading || (last && !last.more)) return;
    branch.isLoading = true;
    branch.error = null;
    this.#changed();
    try {
      await this.#fetchPage(branch, branch.pages.length);
    } finally {
      branch.isLoading = false;
      this.#changed();
    }
  }

  /** Fetches again what is in sight, rows `first` to `end - 1`, and nothing else. */
  async refresh(first: number, end: number): Promise<void> {
    const wanted = new Map<Branch, Set<number>>();
    for (const row of this.rows.slice(first, end)) {
      if (row.kind !== "level") continue;
      const branch = this.#branchOf(parentOf(row));
      const page = branch.pages.findIndex((each) => each.levels.includes(row.figures));
      if (page < 0) continue;
      const pages = wanted.get(branch) ?? new Set<number>();
      wanted.set(branch, pages.add(page));
    }
    if (wanted.size === 0 && this.#root.isOpen) wanted.set(this.#root, new Set([0]));
    for (const [branch, pages] of wanted) {
      for (const page of pages) if (!branch.isLoading) await this.#fetchPage(branch, page);
    }
    this.#changed();
  }

  async #fetchPage(branch: Branch, page: number): Promise<void> {
    const before = branch.pages[page - 1]?.levels;
    const after = before?.[before.length - 1]?.level ?? null;
    try {
      branch.pages[page] = await this.#fetch(branch.path, after);
      branch.error = null;
    } catch (error) {
      // Where there is nothing at all to show, whoever shows it says why.
      if (branch === this.#root && branch.pages.length === 0) throw error;
      branch.error = error instanceof Error ? error.message : String(error);
    }
  }

  #branchOf(path: string | null): Branch {
    const found = this.#branches.get(path);
    if (found) return found;
    const made = newBranch(path, (path ?? "").split("/").length);
    this.#branches.set(path, made);
    if (path !== null) {
      const cut = path.lastIndexOf("/");
      const above = this.#branchOf(cut < 0 ? null : path.slice(0, cut));
      above.below.set(path.slice(cut + 1), made);
    }
    return made;
  }

  #changed(): void {
    this.#rows = null;
    this.onChange();
  }
}

function parentOf(row: LevelRow): string | null {
  return row.depth === 0 ? null : row.path.slice(0, row.path.length - row.level.length - 1);
}

export function hasBelow(figures: LevelFigures): boolean {
  return figures.topics > (figures.topic ? 1 : 0);
}

function flatten(branch: Branch, out: TreeRow[]): void {
  const { depth, path } = branch;
  const seen = new Set<string>();
  for (const figures of branch.pages.flatMap((page) => page.levels)) {
    // Levels that came between two fetches move others over the edge of a page.
    if (seen.has(figures.level)) continue;
    seen.add(figures.level);
    const below = branch.below.get(figures.level);
    const isOpen = below?.isOpen ?? false;
    const { level } = figures;
    out.push({
      kind: "level",
      path: joined(path, level),
      level,
      depth,
      figures,
      isOpen,
      hasBelow: hasBelow(figures),
    });
    if (below && isOpen) flatten(below, out);
  }
  const rest = restText(branch);
  if (rest !== null)
    out.push({ kind: "rest", path, depth, text: rest, failed: branch.error !== null });
}

function restText(branch: Branch): string | null {
  if (branch.error !== null) return branch.error;
  if (branch.isLoading) return "loading…";
  return branch.pages[branch.pages.length - 1]?.more ? "more…" : null;
}
