/**
 * One connection for all tabs. To a tab the hub is a broker: it says `welcome`, takes envelopes, answers each. What
 * the tabs ask goes upstream under ids of the hub's own; what comes goes to those that it is for (hub-feed.ts).
 *
 * The hub does not reconnect. When the connection ends, so does every tab's, for the same reason; each tab's client
 * comes back when its turn is, with a fresh token and its positions, and for the first one the hub connects again.
 */
import { HubFeed } from "./hub-feed.js";
import { claimsOf } from "./jwt.js";
import { type FromHub, type FromTab, type Hello, type HubPort, whenGone } from "./port.js";
import type { Session } from "./session.js";
import type { Ending, Envelope, OpenTransport, Transport } from "./transport.js";
import type { Codec } from "./types.js";

/** What may wait for a tab that does not take it, bytes; past that it has to come back and resume. */
const QUEUE_MAX = 8 << 20;
/** A tab that takes nothing for so long does not run, ms. */
const TAKE_MAX = 60_000;
const SLOW: Ending = { code: 4508, reason: "the tab took nothing for too long", retry: 0 };
const LOST = 1006;

/** About how many bytes an envelope takes. */
function sizeOf(value: unknown): number {
  if (typeof value === "string") return 16 + 2 * value.length;
  if (value instanceof Uint8Array) return 64 + value.length;
  if (typeof value !== "object" || value === null) return 8;
  let size = 32;
  for (const [key, inner] of Object.entries(value)) size += key.length + sizeOf(inner);
  return size;
}

/** A tab as the hub sees it. One message at a time is on its way to it, so that what a tab that is suspended has not
 * taken waits here, where it is counted. */
class Tab {
  session: Session | undefined;
  private queue: Envelope[] = [];
  private bytes = 0;
  private isTaking = false;
  private isSlow = false;
  private isOver = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly stopWatching: () => void;

  constructor(
    private readonly port: HubPort,
    lock: string | undefined,
    onEnvelope: (tab: Tab, envelope: Envelope) => void,
    private readonly onGone: (tab: Tab) => void,
  ) {
    port.onmessage = (message: FromTab) => {
      if (message.type === "send") onEnvelope(this, message.envelope);
      else if (message.type === "taken") this.taken();
      else if (message.type === "close") this.gone();
    };
    this.stopWatching = whenGone(lock, () => this.gone());
  }

  push(envelope: Envelope): void {
    if (this.isOver || this.isSlow) return;
    this.queue.push(envelope);
    this.bytes += sizeOf(envelope);
    if (this.bytes > QUEUE_MAX) this.slow();
    else if (!this.isTaking) {
      this.isTaking = true;
      queueMicrotask(() => this.flush());
    }
  }

  end(ending: Ending): void {
    if (this.isOver) return;
    this.flush();
    this.post({ type: "end", ending });
    this.close();
  }

  private post(message: FromHub): void {
    this.port.post(message);
  }

  private flush(): void {
    if (this.isOver || !this.queue.length) return;
    const envelopes = this.queue;
    this.queue = [];
    this.bytes = 0;
    this.post({ type: "envelopes", envelopes });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.slow(), TAKE_MAX);
  }

  private taken(): void {
    clearTimeout(this.timer);
    if (this.queue.length) this.flush();
    else this.isTaking = false;
  }

  /** It hears of it when it runs again; until then nothing more is kept for it. */
  private slow(): void {
    this.isSlow = true;
    this.queue = [];
    this.bytes = 0;
    this.end(SLOW);
    this.onGone(this);
  }

  private gone(): void {
    if (this.isOver) return;
    this.close();
    this.onGone(this);
  }

  private close(): void {
    this.isOver = true;
    clearTimeout(this.timer);
    this.stopWatching();
    this.port.onmessage = () => undefined;
  }
}

type Pending = (reply: Envelope) => void;

export class Hub {
  private readonly tabs = new Set<Tab>();
  private upstream: Transport | undefined;
  private feed: HubFeed;
  private welcome: Envelope | undefined;
  private pending = new Map<number, Pending>();
  private lastId = 0;
  private deadline: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly open: OpenTransport,
    private readonly codec: Codec,
    private readonly onEmpty: () => void = () => undefined,
  ) {
    this.feed = this.newFeed();
  }

  accept(port: HubPort, { url, token, lock }: Hello): void {
    const tab = new Tab(
      port,
      lock,
      (from, envelope) => this.take(from, envelope),
      (from) => this.leave(from),
    );
    this.tabs.add(tab);
    if (this.welcome) this.greet(tab, this.welcome);
    else if (!this.upstream) this.connect(new URL(url), token);
  }

  /** Ends all tabs' connections, and its own. */
  end(ending: Ending): void {
    this.upstream?.close(ending.code, ending.reason);
    this.ended(this.upstream, ending);
  }

  /* ---- upstream ---- */

  private newFeed(): HubFeed {
    return new HubFeed(
      (request, onReply) => this.ask(request, onReply),
      () => (this.welcome?.limits as { message?: number } | undefined)?.message ?? 65_536,
    );
  }

  private connect(url: URL, token: string | null): void {
    let isOver = false;
    /* A transport may speak before it is returned. */
    const upstream: { inner?: Transport } = {};
    const transport: Transport = {
      send: (envelope) => !!upstream.inner?.send(envelope),
      close: (code, reason) => upstream.inner?.close(code, reason),
    };
    this.upstream = transport;
    upstream.inner = this.open(
      { url, token, codec: this.codec },
      {
        onEnvelope: (envelope) => {
          if (!isOver && this.upstream === transport) this.receive(envelope);
        },
        onEnd: (ending) => {
          isOver = true;
          this.ended(transport, ending);
        },
      },
    );
  }

  private ended(transport: Transport | undefined, ending: Ending): void {
    if (this.upstream !== transport) return;
    clearTimeout(this.deadline);
    this.deadline = undefined;
    this.upstream = this.welcome = undefined;
    this.pending.clear();
    this.feed = this.newFeed();
    const tabs = [...this.tabs];
    this.tabs.clear();
    for (const tab of tabs) {
      tab.session?.end();
      tab.end(ending);
    }
    this.onEmpty();
  }

  private ask(request: Envelope, onReply: Pending): void {
    const id = ++this.lastId;
    this.pending.set(id, onReply);
    this.upstream?.send({ ...request, id });
  }

  private receive(envelope: Envelope): void {
    clearTimeout(this.deadline);
    this.deadline = undefined;
    const { op, id } = envelope;
    if (op === "msg") this.feed.message(envelope);
    else if (typeof id === "number") {
      const onReply = this.pending.get(id);
      this.pending.delete(id);
      onReply?.(envelope);
    } else if (op === "welcome") {
      this.welcome = envelope;
      for (const tab of this.tabs) this.greet(tab, envelope);
    } else if (op === "error" && Array.isArray(envelope.unsubscribed)) {
      this.tellUnsubscribed(envelope, envelope.unsubscribed as string[]);
    } else {
      if (op === "gap") this.feed.skip(envelope.pos);
      for (const tab of this.tabs) tab.push(envelope);
    }
  }

  /** The operator has ended subscriptions, or a fresh token does not cover them: each tab hears of its own. */
  private tellUnsubscribed(envelope: Envelope, filters: string[], except?: Tab): void {
    this.feed.drop(filters, (session, unsubscribed) => {
      for (const tab of this.tabs) {
        if (tab.session === session && tab !== except) tab.push({ ...envelope, unsubscribed });
      }
    });
  }

  /* ---- tabs ---- */

  private greet(tab: Tab, welcome: Envelope): void {
    tab.session = this.feed.join((envelope) => tab.push(envelope));
    tab.push(welcome);
  }

  private leave(tab: Tab): void {
    if (!this.tabs.delete(tab)) return;
    if (tab.session) this.feed.leave(tab.session);
    if (this.tabs.size) return;
    const { upstream } = this;
    this.ended(upstream, { code: 1000, reason: "" });
    upstream?.close();
  }

  private take(tab: Tab, envelope: Envelope): void {
    if (!tab.session) return; /* before its welcome, or after its end */
    const reply = (answer: Envelope): void => this.answer(tab, envelope, answer);
    if (envelope.op === "sub" || envelope.op === "unsub") {
      this.feed.request(tab.session, envelope, reply);
      return;
    }
    this.ask(envelope, reply);
    if (envelope.op === "ping") this.expect();
  }

  private answer(tab: Tab, request: Envelope, answer: Envelope): void {
    const { id, ...rest } = answer;
    if (request.op === "auth" && Array.isArray(answer.unsubscribed)) {
      const told = { op: "error", code: 403, message: "the fresh token does not cover this" };
      this.tellUnsubscribed(told, answer.unsubscribed as string[], tab);
    }
    if (request.op === "auth" && answer.op === "ok" && this.welcome) {
      this.welcome = { ...this.welcome, expires: answer.expires };
    }
    if (request.id !== undefined) tab.push({ ...rest, op: answer.op, id: request.id });
    else if (answer.op === "error") tab.push({ ...rest, op: answer.op });
    else if (request.op === "ping") tab.push({ op: "pong" });
  }

  /** A tab has heard nothing for long: if nothing at all comes, the connection is dead. */
  private expect(): void {
    const seconds = Number(this.welcome?.ping) || 25;
    const { upstream } = this;
    this.deadline ??= setTimeout(
      () => {
        this.ended(upstream, { code: LOST, reason: "nothing came any more" });
        upstream?.close();
      },
      Math.min(seconds, 10) * 1000,
    );
  }
}

/** Hubs of one place, by what has to be the same for tabs to share: the broker, who they are, how they speak. */
export class Hubs {
  private readonly hubs = new Map<string, Hub>();
  /** They remember which way has failed, longer than a hub lives. */
  private readonly openers = new Map<string, OpenTransport>();

  /** `codecOf` finds the codec of a subprotocol. */
  constructor(
    private readonly openerOf: (hello: Hello) => OpenTransport,
    private readonly codecOf: (subprotocol: string) => Promise<Codec>,
    private readonly lock: string | undefined,
  ) {}

  /** Serves who speaks on this port. */
  accept(port: HubPort): void {
    port.onmessage = (message) => {
      if (message.type !== "open") return;
      let isClosed = false;
      port.onmessage = ({ type }) => (isClosed ||= type === "close");
      port.post({ type: "hub", lock: this.lock });
      this.find(message.hello).then(
        (hub) => isClosed || hub.accept(port, message.hello),
        (error) => port.post({ type: "end", ending: { code: LOST, reason: String(error) } }),
      );
    };
  }

  end(ending: Ending): void {
    for (const hub of this.hubs.values()) hub.end(ending);
  }

  private async find(hello: Hello): Promise<Hub> {
    const { url, token, codec, transports = [] } = hello;
    const claims = claimsOf(token);
    const who = token && (claims.sub ?? (claims.fantail ? JSON.stringify(claims.fantail) : token));
    const key = JSON.stringify([url, who, codec, transports]);
    const found = await this.codecOf(codec);
    let hub = this.hubs.get(key);
    if (!hub) {
      const to = JSON.stringify([url, transports]);
      const opener = this.openers.get(to) ?? this.openerOf(hello);
      this.openers.set(to, opener);
      hub = new Hub(opener, found, () => this.hubs.delete(key));
      this.hubs.set(key, hub);
    }
    return hub;
  }
}
