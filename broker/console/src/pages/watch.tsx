/**
 * The Watch page: subscribes to any filter and shows what comes. What is watched stands in the
 * address, `#/watch?filter=a/%23&last=1`, so that it can be kept and sent to others.
 */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { CodeDialog, thisBroker } from "../feed/code_dialog.js";
import { MessageDetails } from "../feed/message_details.js";
import { MessageList } from "../feed/message_list.js";
import { Watcher } from "../feed/watcher.js";
import { WatchForm } from "../feed/watch_form.js";
import type { MessageRow } from "../model/feed.js";
import { watchSnippets, type Watched } from "../model/snippets.js";
import { Empty } from "../parts/controls.js";
import { bytes, count, plural, rate, text } from "../parts/format.js";
import { Icon } from "../parts/icons.js";
import { useKeys } from "../keys.js";
import { go, href, route } from "../route.js";
import { client } from "../store.js";
import "./pages.css";
import "./lists.css";
import "./watch.css";

function watchedIn(query: URLSearchParams): Watched | null {
  const filter = query.get("filter");
  if (!filter) return null;
  const since = (query.get("since") ?? "").split(/[\s,]+/).filter((position) => position !== "");
  const last = Number(query.get("last")) || 0;
  const every = Number(query.get("every")) || 0;
  return { filter, since, last, every };
}

function watch({ filter, since, last, every }: Watched): void {
  go("watch", { filter, since: since?.join(","), last: last || null, every: every || null });
}

/** The watcher of what is in the address; a new one for each other address and each client. */
function useWatcher(watched: Watched | null): Watcher | null {
  const made = client.value;
  const [watcher, setWatcher] = useState<Watcher | null>(null);
  useEffect(() => {
    if (!watched || !made) return;
    const next = new Watcher(made, watched);
    setWatcher(next);
    return () => {
      setWatcher(null);
      next.close();
    };
  }, [made, JSON.stringify(watched)]);
  return watcher;
}

const SUGGESTED = ["#", "demo/#", "sensors/+/temp", "$sys/+/stats"];

function Suggestions() {
  return (
    <Empty title="Nothing is watched yet">
      <p>
        Type a filter above. <code>+</code> stands for one level, <code>#</code> at the end for all
        that follow.
      </p>
      <ul class="suggestions">
        {SUGGESTED.map((filter) => (
          <li key={filter}>
            <a class="button" href={href("watch", { filter })}>
              <code>{filter}</code>
            </a>
          </li>
        ))}
      </ul>
    </Empty>
  );
}

function Figures(props: { watcher: Watcher }) {
  const { received, rate: perSecond, kept, bytes: size } = props.watcher.counts.value;
  return (
    <dl class="counts">
      <div>
        <dt>messages</dt>
        <dd class="num" data-figure="received">
          {received.toLocaleString("en-US")}
        </dd>
      </div>
      <div>
        <dt>rate</dt>
        <dd class="num" data-figure="rate">
          {text(rate(perSecond))}
        </dd>
      </div>
      <div class="wide" title={`About ${text(bytes(size))}; the oldest go when there are too many`}>
        <dt>rows kept</dt>
        <dd class="num" data-figure="kept">
          {text(count(kept))}
        </dd>
      </div>
    </dl>
  );
}

function Toolbar(props: {
  watcher: Watcher;
  onSearch: (text: string) => void;
  onCode: () => void;
  onClear: () => void;
}) {
  const { watcher } = props;
  const [search, setSearch] = useState("");
  const isPaused = watcher.holding.value === "paused";
  const type = (next: string): void => {
    setSearch(next);
    props.onSearch(next);
  };
  return (
    <div class="toolbar" role="toolbar" aria-label="Messages">
      <button
        type="button"
        class="button"
        aria-pressed={isPaused}
        onClick={() => (isPaused ? watcher.release() : watcher.hold("paused"))}
      >
        <Icon name={isPaused ? "play" : "pause"} />
        {isPaused ? "Go on" : "Pause"}
      </button>
      <button type="button" class="button" onClick={props.onClear}>
        <Icon name="trash" />
        <span class="words">Clear</span>
      </button>
      <button type="button" class="button" onClick={props.onCode}>
        <Icon name="copy" />
        <span class="words">As code</span>
      </button>
      <input
        type="search"
        class="search"
        data-search
        aria-label="Text that messages have to hold"
        placeholder="Text in topic or data"
        value={search}
        onInput={(event) => type(event.currentTarget.value)}
      />
      <Figures watcher={watcher} />
    </div>
  );
}

/** Says below the list that it does not move, and how much it would. */
function Held(props: { watcher: Watcher }) {
  const { watcher } = props;
  const { waiting } = watcher.counts.value;
  if (watcher.holding.value === "no") return null;
  const why = watcher.holding.value === "paused" ? "Paused" : "Held while you read";
  return (
    <div class="held">
      <span>
        {why}
        {waiting === 0 ? "" : `: ${plural(waiting, "new row")}`}
      </span>
      <button type="button" class="button" onClick={() => watcher.release()}>
        <Icon name="down" />
        Go on
      </button>
    </div>
  );
}

function Waiting(props: { watcher: Watcher; filter: string }) {
  const { watcher } = props;
  if (watcher.counts.value.kept > 0) return null;
  const { error } = watcher;
  return (
    <div class="nothing-yet" role={error.value ? "alert" : "status"}>
      {error.value ? (
        <>
          <strong>The broker did not take this subscription.</strong> {error.value}
        </>
      ) : watcher.isSubscribed.value ? (
        <>
          Subscribed to <code>{props.filter}</code>. Nothing has been published since.
        </>
      ) : (
        "Waiting for the broker…"
      )}
    </div>
  );
}

function Messages(props: { watcher: Watcher; watched: Watched }) {
  const { watcher, watched } = props;
  const [search, setSearch] = useState("");
  const [selected, setSelected] = useState<MessageRow | null>(null);
  const [code, setCode] = useState(false);
  const area = useRef<HTMLDivElement>(null);
  const clear = (): void => {
    setSelected(null);
    watcher.clear();
  };
  const close = (): void => {
    setSelected(null);
    area.current?.querySelector<HTMLElement>(".rows")?.focus();
  };
  const toggle = (): void => {
    if (watcher.holding.peek() === "no") watcher.hold("paused");
    else watcher.release();
  };
  useKeys([
    { keys: "p", text: "Pause and go on", run: toggle },
    { keys: "x", text: "Clear the list", run: clear },
  ]);
  const snippets = useMemo(
    () => (code ? watchSnippets(thisBroker(), watched) : []),
    [code, watched],
  );
  return (
    <>
      <Toolbar
        watcher={watcher}
        onSearch={setSearch}
        onCode={() => setCode(true)}
        onClear={clear}
      />
      <div class={`panes ${selected ? "with-details" : ""}`} ref={area}>
        <div class="list-area">
          <MessageList
            watcher={watcher}
            filter={watched.filter}
            search={search}
            selected={selected}
            onSelect={setSelected}
          />
          <Waiting watcher={watcher} filter={watched.filter} />
          <Held watcher={watcher} />
        </div>
        {selected ? (
          <MessageDetails message={selected.message} filter={watched.filter} onClose={close} />
        ) : null}
      </div>
      {code ? (
        <CodeDialog title="Watch this by code" snippets={snippets} onClose={() => setCode(false)} />
      ) : null}
    </>
  );
}

export function WatchPage() {
  const { params: query } = route.value;
  const watched = useMemo(() => watchedIn(query), [query.toString()]);
  const watcher = useWatcher(watched);
  return (
    <div class="page watch">
      <WatchForm key={query.toString()} watched={watched} onWatch={watch} />
      {watched === null ? <Suggestions /> : null}
      {watched && watcher ? (
        <Messages key={query.toString()} watcher={watcher} watched={watched} />
      ) : null}
    </div>
  );
}
