/**
 * Where the console is: pages are named by the hash, `#/watch?filter=a/%23`, so that each can be
 * linked and the browser's own back button works. Nothing here knows which pages there are.
 */
import { signal } from "@preact/signals";

export interface Route {
  /** Without slashes; the overview is "". */
  page: string;
  params: URLSearchParams;
}

export type Query = Record<string, string | number | boolean | null | undefined>;

function read(): Route {
  const hash = location.hash.replace(/^#\/?/, "");
  const cut = hash.indexOf("?");
  return {
    page: cut < 0 ? hash : hash.slice(0, cut),
    params: new URLSearchParams(cut < 0 ? "" : hash.slice(cut + 1)),
  };
}

export const route = signal<Route>(read());

addEventListener("hashchange", () => {
  route.value = read();
});

/** The link to a page; of the query, what is null, undefined, false or empty is left out. */
export function href(page: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== false && value !== "")
      params.set(name, String(value));
  }
  const text = params.toString();
  return `#/${page}${text === "" ? "" : `?${text}`}`;
}

export function go(page: string, query: Query = {}): void {
  location.hash = href(page, query);
}

/** Changes the query without a step in the browser's history: for what a page's own fields say. */
export function setQuery(query: Query): void {
  history.replaceState(null, "", href(route.value.page, query));
  route.value = read();
}
