/**
 * The Sessions page: who is connected, in the whole cluster, the latest first; and ending a
 * session, or all of a user.
 */
import { useEffect, useState } from "preact/hooks";
import { errorText, Failure } from "../feed/failure.js";
import { Badge } from "../parts/badge.js";
import { Empty } from "../parts/controls.js";
import { Dialog } from "../parts/dialog.js";
import { bytes, dateTime, duration, plural, text } from "../parts/format.js";
import { Table, type Column } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { href, route, setQuery } from "../route.js";
import { client, getJson, postJson, RequestError, welcome } from "../store.js";
import "./pages.css";
import "./sessions.css";

interface Session {
  session: string;
  node: string;
  user: string | null;
  address: string | null;
  encoding: string;
  since: number;
  subscriptions: number;
  /** The latest few filters. */
  topics: string[];
  outbox_bytes: number;
  parked: boolean;
}

interface Sessions {
  sessions: Session[];
  total: number;
  more: boolean;
  /** Why these are not all: nodes that have not answered in time. */
  problem?: string;
}

const REFRESH_MS = 2000;
const STEP = 100;
const MOST = 1000;
const TYPING_MS = 200;

interface Asked {
  user: string;
  limit: number;
}

function pathOf({ user, limit }: Asked): string {
  const query = new URLSearchParams({ limit: String(limit) });
  if (user !== "") query.set("user", user);
  return `/v1/sessions?${query}`;
}

interface Answer {
  list: Sessions | null;
  error: unknown;
}

/** What the broker says, asked again every two seconds while somebody may be looking. */
function useSessions(asked: Asked): Answer & { again: () => void } {
  const [answer, setAnswer] = useState<Answer>({ list: null, error: null });
  const [round, setRound] = useState(0);
  const made = client.value;
  const path = pathOf(asked);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const ask = async (): Promise<void> => {
      try {
        if (!document.hidden) {
          setAnswer({ list: (await getJson(path, stop.signal)) as Sessions, error: null });
        }
      } catch (error) {
        if (!stop.signal.aborted) setAnswer(({ list }) => ({ list, error }));
      }
      if (!stop.signal.aborted) timer = window.setTimeout(() => void ask(), REFRESH_MS);
    };
    const settle = window.setTimeout(() => void ask(), asked.user === "" ? 0 : TYPING_MS);
    return () => {
      stop.abort();
      clearTimeout(settle);
      clearTimeout(timer);
    };
  }, [path, made, round]);
  return { ...answer, again: () => setRound(round + 1) };
}

interface Ending {
  session: Session;
  all: boolean;
}

async function disconnect({ session, all }: Ending): Promise<void> {
  const body = all ? { user: session.user } : { session: session.session };
  try {
    const { sessions } = (await postJson("/v1/disconnect", body)) as { sessions: number };
    toast(
      sessions === 0 ? "It had ended already." : `${plural(sessions, "session")} disconnected.`,
      "good",
    );
  } catch (error) {
    toast(`Not disconnected: ${error instanceof Error ? error.message : String(error)}`, "bad");
  }
}

function nameOf(session: Session): string {
  return session.user ?? "nobody in particular";
}

/** Asks before a session is ended, and whether it is one or all of its user. */
function Confirm(props: {
  ending: Session;
  isOwn: boolean;
  onDone: () => void;
  onClose: () => void;
}) {
  const { ending } = props;
  const [all, setAll] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const act = async (): Promise<void> => {
    setBusy(true);
    await disconnect({ session: ending, all });
    props.onClose();
    props.onDone();
  };
  return (
    <Dialog
      title={ending.user === null ? "Disconnect this session?" : `Disconnect ${ending.user}?`}
      onClose={props.onClose}
    >
      <p>
        Session <code>{ending.session}</code> of node <strong>{ending.node}</strong>
        {ending.address ? (
          <>
            , from <code>{ending.address}</code>
          </>
        ) : null}
        , with {plural(ending.subscriptions, "subscription")}, is closed with 4403.
      </p>
      {props.isOwn ? <p class="error">This is the connection of this page.</p> : null}
      <p>Who has good credentials can connect again. Take these first to keep somebody out.</p>
      {ending.user === null ? null : (
        <label class="check">
          <input
            type="checkbox"
            checked={all}
            onChange={(event) => setAll(event.currentTarget.checked)}
          />
          All sessions of {ending.user}, on all nodes
        </label>
      )}
      <div class="actions">
        <button type="button" class="button" onClick={props.onClose}>
          Cancel
        </button>
        <button type="button" class="button danger" disabled={isBusy} onClick={() => void act()}>
          {all ? "Disconnect all" : "Disconnect"}
        </button>
      </div>
    </Dialog>
  );
}

const ENCODINGS: Record<string, string> = {
  json: "JSON",
  msgpack: "MessagePack",
  events: "events",
};

function Filters(props: { session: Session }) {
  const { topics, subscriptions } = props.session;
  const rest = subscriptions - topics.length;
  if (subscriptions === 0) return <span class="hint">none</span>;
  return (
    <span class="filters">
      {topics.map((filter) => (
        <a key={filter} class="filter" href={href("watch", { filter })}>
          {filter}
        </a>
      ))}
      {rest > 0 ? <span class="hint">and {rest.toLocaleString("en-US")} more</span> : null}
    </span>
  );
}

function columns(onEnd: (session: Session) => void, own: string | undefined): Column<Session>[] {
  return [
    {
      key: "user",
      title: "User",
      heading: true,
      cell: (s) => (
        <span class="who">
          {s.user === null ? <span class="hint">no user</span> : <strong>{s.user}</strong>}
          {s.session === own ? <Badge tone="note">this page</Badge> : null}
          {s.parked ? (
            <Badge tone="warn" title="It is behind, and fed from the journal as it reads">
              parked
            </Badge>
          ) : null}
        </span>
      ),
    },
    { key: "session", title: "Session", class: "id", cell: (s) => <code>{s.session}</code> },
    {
      key: "address",
      title: "Address",
      cell: (s) => (s.address === null ? "–" : <code>{s.address}</code>),
    },
    { key: "node", title: "Node", cell: (s) => s.node },
    { key: "encoding", title: "Encoding", cell: (s) => ENCODINGS[s.encoding] ?? s.encoding },
    {
      key: "since",
      title: "For",
      numeric: true,
      cell: (s) => <time title={dateTime(s.since)}>{duration(Date.now() - s.since)}</time>,
    },
    { key: "topics", title: "Subscriptions", class: "grow", cell: (s) => <Filters session={s} /> },
    { key: "outbox", title: "Outbox", numeric: true, cell: (s) => text(bytes(s.outbox_bytes)) },
    {
      key: "end",
      title: "Action",
      cell: (s) => (
        <button
          type="button"
          class="button"
          aria-label={`Disconnect ${nameOf(s)}, session ${s.session}`}
          onClick={() => onEnd(s)}
        >
          Disconnect
        </button>
      ),
    },
  ];
}

function Summary(props: { list: Sessions; user: string }) {
  const { list, user } = props;
  const parked = list.sessions.filter((session) => session.parked).length;
  return (
    <p class="hint" role="status">
      {plural(list.total, "session")}
      {user === "" ? "" : ` of ${user}`}
      {list.sessions.length < list.total ? `, the latest ${list.sessions.length} shown` : ""}
      {parked > 0 ? `, ${parked} parked` : ""}
    </p>
  );
}

function More(props: { list: Sessions; limit: number; onMore: () => void }) {
  if (!props.list.more) return null;
  if (props.limit >= MOST) {
    return (
      <p class="hint">
        No more than {MOST.toLocaleString("en-US")} are listed: search by user to see others.
      </p>
    );
  }
  return (
    <button type="button" class="button more" onClick={props.onMore}>
      Show {STEP} more
    </button>
  );
}

/** Not a break that passes: another token is needed. */
function isRefusal(error: unknown): boolean {
  return error instanceof RequestError && (error.status === 401 || error.status === 403);
}

interface ListProps {
  list: Sessions;
  asked: Asked;
  own: string | undefined;
  onEnd: (session: Session) => void;
  onLimit: (limit: number) => void;
}

function List({ list, asked, own, onEnd, onLimit }: ListProps) {
  const { user, limit } = asked;
  if (list.sessions.length === 0) {
    return <Empty title={user === "" ? "Nobody is connected" : `No session of ${user}`} />;
  }
  return (
    <>
      <Table
        caption="Sessions, the latest first"
        class="cards"
        columns={columns(onEnd, own)}
        rows={list.sessions}
        rowKey={(session) => session.session}
      />
      <More list={list} limit={limit} onMore={() => onLimit(Math.min(MOST, limit + STEP))} />
    </>
  );
}

export function SessionsPage() {
  const [user, setUser] = useState(() => route.value.params.get("user") ?? "");
  const [limit, setLimit] = useState(STEP);
  const [ending, setEnding] = useState<Session | null>(null);
  const { list, error, again } = useSessions({ user, limit });
  const own = welcome.value?.session;
  const search = (next: string): void => {
    setUser(next);
    setLimit(STEP);
    setQuery({ user: next });
  };
  return (
    <div class="page sessions-page">
      <div class="toolbar">
        <input
          type="search"
          class="search"
          data-search
          aria-label="Sessions of this user"
          placeholder="User, exactly"
          spellcheck={false}
          autocapitalize="off"
          value={user}
          onInput={(event) => search(event.currentTarget.value.trim())}
        />
        {list ? <Summary list={list} user={user} /> : null}
      </div>
      {list?.problem ? (
        <p class="error" role="alert">
          {list.problem}
        </p>
      ) : null}
      {error !== null && (list === null || isRefusal(error)) ? (
        <Failure what="Sessions" error={error} onRetry={again} />
      ) : null}
      {error !== null && list !== null && !isRefusal(error) ? (
        <p class="error" role="alert">
          As they were a while ago: {errorText(error)}.
        </p>
      ) : null}
      {list === null && error === null ? (
        <p class="hint" role="status">
          Asking the broker…
        </p>
      ) : null}
      {list && !isRefusal(error) ? (
        <List list={list} asked={{ user, limit }} own={own} onEnd={setEnding} onLimit={setLimit} />
      ) : null}
      {ending ? (
        <Confirm
          ending={ending}
          isOwn={ending.session === own}
          onDone={again}
          onClose={() => setEnding(null)}
        />
      ) : null}
    </div>
  );
}
