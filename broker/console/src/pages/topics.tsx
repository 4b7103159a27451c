/**
 * The Topics page: a tree of what this node knows to have been published, and a search through it.
 * A level is fetched when it is opened.
 */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../feed/failure.js";
import { TopicBrowser, type BrowserRow } from "../feed/topic_browser.js";
import { TopicDetails } from "../feed/topic_details.js";
import { TopicList } from "../feed/topic_list.js";
import { Choice, Empty } from "../parts/controls.js";
import { plural } from "../parts/format.js";
import { route, setQuery } from "../route.js";
import { client } from "../store.js";
import "./pages.css";
import "./lists.css";
import "./topics.css";

type View = "tree" | "busiest";

const TYPING_MS = 200;

function useBrowser(): TopicBrowser | null {
  const made = client.value;
  const [browser, setBrowser] = useState<TopicBrowser | null>(null);
  useEffect(() => {
    if (!made) return;
    const next = new TopicBrowser(made);
    setBrowser(next);
    return () => {
      setBrowser(null);
      next.close();
    };
  }, [made]);
  return browser;
}

/** What is typed, once the typing pauses. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), TYPING_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function Nothing(props: { search: string | null }) {
  if (props.search) {
    return (
      <Empty title="No topic is found">
        <p>Nothing that was published matches “{props.search}”.</p>
      </Empty>
    );
  }
  return (
    <Empty title="No topics yet">
      <p>
        Topics appear here when something is published. For a try: <code>make demo</code>, or the
        page <a href="#/publish">Publish</a>.
      </p>
    </Empty>
  );
}

function Browser(props: { browser: TopicBrowser; search: string | null }) {
  const { browser, search } = props;
  const [row, setRow] = useState<BrowserRow | null>(null);
  const area = useRef<HTMLDivElement>(null);
  const select = useCallback((next: BrowserRow | null) => setRow(next), []);
  const close = (): void => {
    setRow(null);
    area.current?.querySelector<HTMLElement>(".rows")?.focus();
  };
  useEffect(() => setRow(null), [search]);
  const { error, isReady } = browser;
  const isEmpty = isReady.value && browser.rows.length === 0;
  if (error.value !== null && browser.rows.length === 0) {
    return <Failure what="Topics" error={error.value} onRetry={() => browser.show(search)} />;
  }
  return (
    <div class={`panes ${row ? "with-details" : ""}`} ref={area}>
      <div class="list-area">
        <TopicList
          browser={browser}
          search={search}
          selected={row?.path ?? null}
          onSelect={select}
        />
        {isEmpty ? (
          <div class="nothing-yet">
            <Nothing search={search} />
          </div>
        ) : null}
        {isReady.value || error.value !== null ? null : (
          <div class="nothing-yet" role="status">
            Asking the broker…
          </div>
        )}
      </div>
      {row && row.kind !== "rest" ? (
        <TopicDetails row={row} values={browser.values} onClose={close} />
      ) : null}
    </div>
  );
}

export function TopicsPage() {
  const browser = useBrowser();
  const [typed, setTyped] = useState(() => route.value.params.get("search") ?? "");
  const view: View = route.value.params.get("view") === "busiest" ? "busiest" : "tree";
  const settled = useSettled(typed);
  useEffect(
    () => setQuery({ search: settled, view: view === "tree" ? null : view }),
    [settled, view],
  );
  const search = settled !== "" ? settled : view === "busiest" ? "" : null;
  const found = browser?.found.value ?? null;
  return (
    <div class="page topics-page">
      <div class="toolbar">
        <input
          type="search"
          class="search"
          data-search
          aria-label="Search topics: part of a name, or a filter"
          placeholder="Part of a name, or a filter"
          spellcheck={false}
          autocapitalize="off"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
        <Choice
          label="Order"
          name="view"
          value={view}
          options={[
            { value: "tree", text: "Tree" },
            { value: "busiest", text: "Busiest" },
          ]}
          onChange={(next: View) =>
            setQuery({ search: settled, view: next === "tree" ? null : next })
          }
        />
        <p class="hint" role="status">
          {found === null ? "" : plural(found, "topic")}
        </p>
      </div>
      {browser ? <Browser browser={browser} search={search} /> : null}
    </div>
  );
}
