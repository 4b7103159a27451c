/**
 * One feed for all tabs: the upstream session is subscribed to what any of them wants, and each tab's Session takes
 * from it what a session of its own would get. Knows nothing of ports; asks the broker through `ask`.
 *
 * A tab that looks back (`last`, last values) has its filters subscribed to once more: what then comes of the past is
 * for it alone. One that resumes from positions has the whole feed go back, together with every filter that has a
 * topic in common with its own, because the broker brings nothing again that came by another filter; the other tabs
 * have had that, and their Sessions know. The broker drops what a filter still has to look back on when that filter is
 * subscribed to again, and puts it off while others resume: so one looks back after the other, and those who ask for
 * the same do so together.
 */
import { after, beginning, isBeyond, lesser } from "./places.js";
import { covers, list, parse, type Positions, raise, raiseAll, read } from "./positions.js";
import { levelsOf, overlap, Session } from "./session.js";
import type { Envelope } from "./transport.js";

/** Topics whose filters are remembered; then it is begun anew. */
const TOPICS_MAX = 10_000;
/** Pings in a row that bring nothing old: then all of the past has come. The broker sends it in pieces. */
const QUIET_PINGS = 2;
/** Pings at most where nobody knows how far the past goes: a busy feed is never quiet. */
const PINGS_MAX = 8;

type Reply = (reply: Envelope) => void;
/** Sends a request upstream; `onReply` gets its `ok` or `error`. */
export type Ask = (request: Envelope, onReply: Reply) => void;

interface Upstream {
  levels: string[];
  every: number;
}

/** A `sub` or `unsub` of a tab. */
interface Request {
  session: Session;
  op: string;
  topics: string[];
  levels: string[][];
  every: number;
  last: number;
  since: Positions | undefined;
  reply: Reply;
}

/** One who waits for the answer to a `sub`. */
type Asker = Pick<Request, "session" | "every" | "reply">;

/** A `sub` on its way, and what comes of the past because of it. */
interface LookBack extends Request {
  /** Several tabs that ask for the same at the same time. */
  askers: Asker[];
  isAnswered: boolean;
  /** From where the feed was asked to go on. */
  from: Positions;
  /** What comes up to here is of the past; undefined where that is not known. */
  until: Positions | undefined;
  /** Something of the past came since the last ping. */
  isHeard: boolean;
}

export class HubFeed {
  private readonly sessions = new Set<Session>();
  private readonly upstream = new Map<string, Upstream>();
  /** Of each topic: the smallest `every` of the filters that match it. */
  private readonly everies = new Map<string, number>();
  private waiting: Request[] = [];
  private readonly looking = new Set<LookBack>();
  /** How far the feed has come, in each stream. */
  private at: Positions = new Map();

  constructor(
    private readonly ask: Ask,
    private readonly sizeMax: () => number,
  ) {}

  /** Adds a tab, which is given what it gets. */
  join(deliver: (envelope: Envelope) => void): Session {
    const session = new Session(deliver);
    this.sessions.add(session);
    return session;
  }

  leave(session: Session): void {
    this.sessions.delete(session);
    session.end();
    this.waiting = this.waiting.filter((request) => request.session !== session);
    this.sweep();
    this.pump();
  }

  /** Carries out a `sub` or `unsub`. */
  request(session: Session, envelope: Envelope, reply: Reply): void {
    const { op, every, last, since } = envelope;
    const topics = envelope.topics as string[];
    const known = Array.isArray(topics) && topics.every((topic) => typeof topic === "string");
    if (!known) {
      this.ask(envelope, reply); /* the broker knows what is wrong */
      return;
    }
    this.waiting.push({
      session,
      op,
      topics,
      levels: topics.map(levelsOf),
      every: Number(every ?? 0),
      last: Number(last ?? 0),
      since: since === undefined ? undefined : read(since),
      reply,
    });
    this.pump();
  }

  /** Takes filters from all sessions; tells which of them each had. */
  drop(filters: readonly string[], tell: (session: Session, had: string[]) => void): void {
    for (const filter of filters) this.upstream.delete(filter);
    this.everies.clear();
    for (const session of this.sessions) {
      const had = filters.filter((filter) => session.has(filter));
      if (!had.length) continue;
      session.remove(had);
      tell(session, had);
    }
  }

  /** The feed goes on at these positions. */
  skip(positions: unknown): void {
    raiseAll(this.at, read(positions));
  }

  /** A publication. */
  message(envelope: Envelope): void {
    const topic = String(envelope.topic);
    const position = parse(envelope.pos);
    if (this.looking.size && this.isOld(envelope, topic, position)) return;
    if (envelope.retained) return; /* nobody has asked, or nobody any more */
    if (position) raise(this.at, ...position);
    const every = this.everyOf(topic);
    for (const session of this.sessions) session.take(envelope, every);
  }

  /** Gives what is of the past to those who look back. */
  private isOld(envelope: Envelope, topic: string, position: [string, string] | undefined): boolean {
    const levels = [levelsOf(topic)];
    const receivers = new Set<Session>();
    let isOld = false;
    for (const look of this.looking) {
      if (!look.isAnswered || !overlap(look.levels, levels)) continue;
      const isPast = envelope.retained || (position && (!look.until || covers(look.until, ...position)));
      if (!isPast) continue;
      look.isHeard = true;
      if (look.since && !envelope.retained) continue; /* what the feed brings again */
      isOld = true;
      for (const { session } of look.askers) if (session.matches(topic)) receivers.add(session);
    }
    for (const session of receivers) session.pass(envelope);
    return isOld;
  }

  private everyOf(topic: string): number {
    let every = this.everies.get(topic);
    if (every === undefined) {
      const levels = [levelsOf(topic)];
      every = 0;
      const found = [...this.upstream.values()].filter((filter) => overlap([filter.levels], levels));
      if (found.length) every = Math.min(...found.map((filter) => filter.every));
      if (this.everies.size >= TOPICS_MAX) this.everies.clear();
      this.everies.set(topic, every);
    }
    return every;
  }

  /* ---- requests, one after another where they meet ---- */

  private pump(): void {
    for (let next = this.waiting[0]; next && !this.isBlocked(next); next = this.waiting[0]) {
      this.waiting.shift();
      if (next.op === "unsub") this.unsubscribe(next);
      else this.subscribe(next);
    }
  }

  private isBlocked(request: Request): boolean {
    if (request.op === "unsub") {
      const isAsked = ({ askers, isAnswered }: LookBack): boolean =>
        !isAnswered && askers.some(({ session }) => session === request.session);
      return [...this.looking].some(isAsked);
    }
    for (const look of this.looking) {
      /* Who looks back by `last` does so alone: of a session that is behind the broker does not say up to where. */
      if (!request.since || !look.since) return true;
      if (!look.isAnswered && overlap(request.levels, look.levels)) return true;
    }
    return false;
  }

  private unsubscribe({ session, topics, reply }: Request): void {
    session.remove(topics);
    this.sweep(reply);
  }

  /** Ends upstream what nobody wants any more. */
  private sweep(reply?: Reply): void {
    const topics = [...this.upstream.keys()].filter((filter) => !this.isWanted(filter));
    for (const filter of topics) this.upstream.delete(filter);
    this.everies.clear();
    if (topics.length) this.ask({ op: "unsub", topics }, (answer) => reply?.(answer));
    else reply?.({ op: "ok" });
  }

  private isWanted(filter: string): boolean {
    for (const session of this.sessions) if (session.has(filter)) return true;
    for (const look of this.looking) {
      if (!look.isAnswered && look.topics.includes(filter)) return true;
    }
    return false;
  }

  private subscribe(request: Request): void {
    const askers = [request, ...(request.since ? [] : this.takeAlike(request))];
    const look: LookBack = { ...request, askers, isAnswered: false, from: new Map(), until: undefined, isHeard: false };
    const { topics, since, last } = request;
    const envelope: Envelope = { op: "sub", topics };
    let all = topics;
    if (since) {
      const others = [...this.upstream].filter(
        ([filter, { levels }]) => !topics.includes(filter) && overlap([levels], request.levels),
      );
      all = [...topics, ...others.map(([filter]) => filter)];
      look.from = lesser(this.at, since);
      envelope.since = list(look.from);
      /* Where that is more than fits, they have to take what a session of their own would not withhold. */
      if (JSON.stringify([all, envelope.since]).length + 100 > this.sizeMax()) all = topics;
      look.levels = all.map(levelsOf);
    } else if (last) envelope.last = last;
    envelope.topics = all;
    const every = Math.min(...askers.map((asker) => asker.every), ...all.map((filter) => this.upstream.get(filter)?.every ?? Infinity));
    if (every) envelope.every = every;
    this.looking.add(look);
    this.ask(envelope, (reply) => this.answer(look, all, every, reply));
  }

  /** Takes from the queue what other tabs ask for in the same words: they look back together. */
  private takeAlike({ topics, last }: Request): Request[] {
    const words = JSON.stringify([topics, last]);
    const seen = new Set<Session>();
    const alike: Request[] = [];
    this.waiting = this.waiting.filter((other) => {
      const isFirst = !seen.has(other.session);
      seen.add(other.session);
      const isAlike = isFirst && other.op === "sub" && !other.since;
      if (!isAlike || JSON.stringify([other.topics, other.last]) !== words) return true;
      alike.push(other);
      return false;
    });
    return alike;
  }

  private answer(look: LookBack, all: string[], every: number, reply: Envelope): void {
    look.isAnswered = true;
    let looksBack = false;
    if (reply.op === "ok") {
      for (const filter of all) this.upstream.set(filter, { levels: levelsOf(filter), every });
      this.everies.clear();
      looksBack = look.since ? this.resumed(look, look.since, reply) : this.began(look, reply);
    } else for (const asker of look.askers) asker.reply(reply);
    if (looksBack) this.listen(look, 1, 0);
    else this.looking.delete(look);
    if (reply.op !== "ok" || !look.askers.every(({ session }) => this.sessions.has(session))) this.sweep();
    this.pump();
  }

  private began(look: LookBack, ok: Envelope): boolean {
    const begin = read(ok.pos);
    raiseAll(this.at, begin);
    look.until = begin;
    for (const { session, every, reply } of look.askers) {
      if (this.sessions.has(session)) session.add(look.topics, every, begin, false);
      reply(ok);
    }
    return true;
  }

  /** The feed goes back, or not, where the tab has had as much as the others. Says whether it does. */
  private resumed(look: LookBack, since: Positions, ok: Envelope): boolean {
    const isRecovered = ok.recovered === true;
    const starts = read(ok.pos);
    const had = this.at;
    this.at = after(had, look.from, starts, isRecovered);
    const isNew = [...starts.keys()].some((stream) => !had.has(stream));
    const isBack = [...had].some(([stream, offset]) => this.at.get(stream) !== offset);
    if (!isNew) look.until = had;
    for (const session of this.sessions) {
      session.mark(had);
      /* In the time that it took, what the others have yet to get has gone. */
      const hasGap = !isRecovered && session.filters.length > 0 && isBeyond(starts, had);
      if (hasGap) session.pass({ op: "gap", reason: "expired", pos: ok.pos });
    }
    const begin = beginning(since, starts, isRecovered);
    if (this.sessions.has(look.session)) look.session.add(look.topics, look.every, begin, true);
    const pos = [...starts.keys()].map((stream) => `${stream}.${begin.get(stream)}`);
    look.reply({ ...ok, pos });
    return isBack || isNew || !isRecovered;
  }

  /** Waits until what comes of the past has come: a ping is answered after what was sent before. */
  private listen(look: LookBack, pings: number, quiet: number): void {
    look.isHeard = false;
    this.ask({ op: "ping" }, () => {
      const count = look.isHeard ? 0 : quiet + 1;
      if (count < QUIET_PINGS && (look.until || pings < PINGS_MAX)) {
        this.listen(look, pings + 1, count);
        return;
      }
      this.looking.delete(look);
      this.pump();
    });
  }
}
