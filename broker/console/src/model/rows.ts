/**
 * Which rows of a list of equal height are to be drawn. A list may have a hundred thousand rows;
 * the page has those that are in sight, and a few around them.
 */
export interface Viewport {
  /** How far it is scrolled, and how much is in sight, both in pixels. */
  top: number;
  height: number;
}

/** Rows `first` to `end - 1`, counted from 0. */
export interface Span {
  first: number;
  end: number;
}

/** Drawn above and below, so that a quick scroll does not show a hole. */
const AROUND = 4;

export function spanInSight(count: number, rowHeight: number, view: Viewport): Span {
  const first = Math.floor(view.top / rowHeight) - AROUND;
  const end = Math.ceil((view.top + view.height) / rowHeight) + AROUND;
  return { first: clamp(first, 0, count), end: clamp(end, 0, count) };
}

/** How many elements the busiest span can need at this height. */
export function poolSize(rowHeight: number, height: number): number {
  return Math.ceil(height / rowHeight) + 1 + 2 * AROUND;
}

/** The largest `top` that there is. */
export function lastTop(count: number, rowHeight: number, height: number): number {
  return Math.max(0, count * rowHeight - height);
}

/** The `top` that brings a row into sight with the least movement. */
export function topToShow(row: number, rowHeight: number, view: Viewport): number {
  const above = row * rowHeight;
  if (above < view.top) return above;
  return Math.max(view.top, above + rowHeight - view.height);
}

/** The row that a key of a list leads to, or null where it is not one of these. */
export function rowAfterKey(
  key: string,
  row: number,
  count: number,
  rowsInSight: number,
): number | null {
  const page = Math.max(1, rowsInSight - 1);
  const steps: Record<string, number> = {
    ArrowUp: row - 1,
    ArrowDown: row + 1,
    PageUp: row - page,
    PageDown: row + page,
    Home: 0,
    End: count - 1,
  };
  const next = steps[key];
  return next === undefined || count === 0 ? null : clamp(next, 0, count - 1);
}

export function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(value, most));
}
