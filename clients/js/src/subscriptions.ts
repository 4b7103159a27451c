/**
 * The subscriptions of a client: which must be asked for (again), how far each has come, and whose handlers
 * a delivery goes to.
 *
 * - The broker delivers each publication once, however many filters match, and in ascending order of
 *   offsets, but for what `every` holds back. So all that share an `every` share a Group, whose positions
 *   every delivery raises; one that goes on from an older position has a Group of its own until it has
 *   caught up. After a break each Group is asked for in one `sub`.
 * - A `since` that reaches back makes the broker bring again what others had: they are known by positions.
 * - Where several want one filter with a different `every`, the broker has the shortest, and the
 *   others are throttled here.
 */
import { FantailError } from "./errors.js";
import { covers, isBeyond, list, parse, raise, raiseAll, read, type Positions } from "./positions.js";
import { errorOf } from "./publisher.js";
import { ASKED, LIVE, NEW, OVER, STALE, Sub, type Group } from "./subscription.js";
import { isExact, isFilter, meet } from "./topics.js";
import type { Envelope } from "./transport.js";
import type { Gap, Message, SubscribeOptions } from "./types.js";

/** What a rewind brings cannot be told from what a resume replays, so the one waits until the other is likely to
 * be through. */
const PAST_MS = 3000;

interface Route {
  filter: string;
  levels: string[];
  subs: Set<Sub>;
  /** What the broker was asked for on this connection; Infinity: nothing. */
  every: number;
}

interface Request {
  subs: Sub[];
  pace: number;
  /** It had positions. */
  isResume: boolean;
}

export interface Asker {
  send(envelope: Envelope): boolean;
  isOpen(): boolean;
  nextId(): number;
  sizeOf(envelope: Envelope): number;
  limits(): { message: number; topics: number };
  toMessage(envelope: Record<string, unknown>): Message;
}

export class Subscriptions {
  readonly all = new Set<Sub>();
  private readonly waiting = new Set<Sub>();
  private readonly routes = new Map<string, Route>();
  private readonly wild = new Set<Route>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isScheduled = false;
  /** All that was ever seen; what of it may come again. */
  private readonly seen: Positions = new Map();
  private readonly top: Positions = new Map();

  /* this connection */
  private readonly requests = new Map<unknown, Request>();
  private readonly groups = new Set<Group>();
  private readonly lanes = new Map<number, Group>();
  private readonly current: Positions = new Map();

  constructor(private readonly asker: Asker) {}

  add(filters: readonly string[], options: SubscribeOptions): Sub {
    if (!filters.length) throw new FantailError(400, "a subscription needs a filter");
    for (const filter of filters)
      if (!isFilter(filter)) throw new FantailError(400, `${JSON.stringify(filter)} is no filter`);
    for (const pos of options.since ?? [])
      if (!parse(pos)) throw new FantailError(400, `${JSON.stringify(pos)} is no position`);
    const sub = new Sub([...new Set(filters)], options, this.remove);
    if (sub.step === OVER) return sub;
    for (const filter of sub.filters) this.routeOf(filter).subs.add(sub);
    this.all.add(sub);
    this.wait(sub);
    return sub;
  }

  /** Asks for what is due. Those that can go on together are put into one request. */
  ask(): void {
    this.isScheduled = false;
    if (!this.waiting.size || !this.asker.isOpen()) return;
    const now = Date.now();
    const batch = new Map<string, Sub[]>();
    const texts = new Map<Group | undefined, string>();
    let next = Infinity;
    for (const step of [STALE, NEW])
      for (const sub of this.waiting) {
        if (sub.step !== step) continue;
        const { group, isAlone } = sub;
        if (!texts.has(group)) texts.set(group, String(group && list(group.at)));
        const key = JSON.stringify([
          step,
          sub.every,
          texts.get(group),
          group?.at.size ? isAlone && sub.filters : [sub.last, sub.filters],
        ]);
        const wait = Math.max(sub.due - now, batch.has(key) ? 0 : this.held(sub, now));
        if (wait > 0) {
          next = Math.min(next, wait);
          continue;
        }
        if (isPast(sub)) sub.pastAsked = now;
        sub.isRewinding = sub.last > 0;
        const subs = batch.get(key);
        if (subs) subs.push(sub);
        else batch.set(key, [sub]);
      }
    for (const subs of batch.values()) this.requestAll(subs);
    clearTimeout(this.timer);
    if (next < Infinity) this.timer = setTimeout(() => this.ask(), next);
  }

  /** The broker answered. Says whether it was one of these requests. */
  answer(envelope: Envelope): boolean {
    const request = this.requests.get(envelope.id);
    if (!request) return false;
    this.requests.delete(envelope.id);
    const subs = request.subs.filter((sub) => sub.step === ASKED);
    if (envelope.op === "ok") this.begin(request, subs, envelope);
    else this.refuse(subs, envelope);
    return true;
  }

  deliver(envelope: Envelope): void {
    const topic = String(envelope.topic);
    const matched = new Set<Sub>();
    let pace = Infinity;
    for (const route of this.match(topic)) {
      pace = Math.min(pace, route.every);
      for (const sub of route.subs) matched.add(sub);
    }
    const pos = parse(envelope.pos);
    const isNews = pos && !envelope.retained;
    const takers = [...matched].filter((sub) =>
      !pos
        ? sub.step === LIVE
        : isNews
          ? this.wants(sub, matched, pos)
          : sub.step === LIVE && wantsRetained(sub, pos),
    );
    if (isNews) this.advance(pos, pace);
    if (!takers.length) return;
    const message = this.asker.toMessage(envelope);
    for (const sub of takers) sub.give(message, sub.every > pace && !message.retained);
  }

  /** The broker said that what is missing up to these positions will not come. */
  gap(envelope: Envelope): void {
    const at = read(envelope.pos);
    raiseAll(this.seen, at);
    for (const group of this.groups) raiseAll(group.at, at);
    const gap = { reason: envelope.reason } as Gap;
    if (typeof envelope.lost === "number") gap.lost = envelope.lost;
    for (const sub of this.all) if (sub.step === LIVE) sub.tellGap(gap);
  }

  /** The broker has ended the subscriptions to these filters: they are not asked for again. */
  dropFilters(filters: unknown, error: FantailError): void {
    for (const filter of Array.isArray(filters) ? filters : [])
      for (const sub of this.routes.get(filter)?.subs ?? []) {
        /* What is asked for anew is behind this, and not meant. */
        if (sub.step !== LIVE) continue;
        sub.filters.splice(sub.filters.indexOf(filter), 1);
        this.leave(filter, sub);
        if (!sub.filters.length) sub.finish(error);
      }
  }

  /** Everything that was asked for must be asked for again. */
  break(): void {
    for (const state of [this.requests, this.groups, this.lanes, this.current]) state.clear();
    for (const route of this.routes.values()) route.every = Infinity;
    for (const sub of this.all) {
      if (sub.step === ASKED || sub.step === LIVE) sub.step = sub.wasAnswered ? STALE : NEW;
      sub.isAlone = sub.isRewinding = false;
      sub.due = sub.pastAsked = 0;
      this.waiting.add(sub);
    }
  }

  end(error?: Error, why?: Error): void {
    for (const sub of [...this.all]) sub.finish(error, why);
  }

  private readonly remove = (sub: Sub): void => {
    const gone = sub.filters.filter(
      (filter) => this.leave(filter, sub) && this.asker.isOpen(),
    );
    this.all.delete(sub);
    this.waiting.delete(sub);
    if (gone.length) this.asker.send({ op: "unsub", topics: gone });
  };

  private routeOf(filter: string): Route {
    let route = this.routes.get(filter);
    if (!route) {
      route = { filter, levels: filter.split("/"), subs: new Set(), every: Infinity };
      this.routes.set(filter, route);
      if (!isExact(filter)) this.wild.add(route);
    }
    return route;
  }

  /** Says whether the broker has the filter and nobody needs it any more. */
  private leave(filter: string, sub: Sub): boolean {
    const route = this.routes.get(filter);
    if (!route?.subs.delete(sub) || route.subs.size) return false;
    this.routes.delete(filter);
    this.wild.delete(route);
    return route.every < Infinity;
  }

  private match(topic: string): Route[] {
    const exact = this.routes.get(topic);
    const found = exact ? [exact] : [];
    if (this.wild.size) {
      const levels = topic.split("/");
      for (const route of this.wild) if (meet(route.levels, levels)) found.push(route);
    }
    return found;
  }

  /** What is subscribed to together is asked for together. */
  private wait(sub: Sub): void {
    this.waiting.add(sub);
    if (!this.isScheduled) queueMicrotask(() => this.ask());
    this.isScheduled = true;
  }

  /** For how long a request would disturb the past that another one has just asked for, or be disturbed. */
  private held(sub: Sub, now: number): number {
    let wait = 0;
    for (const other of this.all) {
      if (other === sub || !(sub.last || other.isRewinding)) continue;
      if (!isRelated(sub, other)) continue;
      const rest = other.pastAsked + PAST_MS - now;
      wait = Math.max(wait, rest);
      if (rest <= 0) other.isRewinding = false;
    }
    return wait;
  }

  /** Sends a request, or several where one would be too long. */
  private requestAll(subs: Sub[]): void {
    const { message, topics } = this.asker.limits();
    let part: Sub[] = [];
    let bytes = 0;
    let count = 0;
    const group = subs[0]?.group;
    const begin = 256 + (group ? JSON.stringify(list(group.at)).length : 0);
    for (const sub of subs) {
      const size = this.asker.sizeOf({ op: "", topics: sub.filters });
      if (begin + size > message) {
        this.waiting.delete(sub);
        sub.finish(new FantailError(413, "the filters of one subscription are longer than the broker takes"));
        continue;
      }
      if (part.length && (begin + bytes + size > message || count + sub.filters.length > topics)) {
        this.request(part);
        part = [];
        bytes = count = 0;
      }
      part.push(sub);
      bytes += size;
      count += sub.filters.length;
    }
    if (part.length) this.request(part);
  }

  private request(subs: Sub[]): void {
    const first = subs[0] as Sub;
    const since: Positions = new Map(first.group?.at);
    const routes = new Set(subs.flatMap((sub) => sub.filters.map((filter) => this.routeOf(filter))));
    if (since.size) this.reachBack(first, routes, since);
    const pace = Math.min(first.every, ...[...routes].map((route) => route.every));
    const envelope: Envelope = {
      op: "sub",
      id: this.asker.nextId(),
      topics: [...routes].map((route) => route.filter),
    };
    if (since.size) envelope.since = list(since);
    if (pace) envelope.every = pace;
    if (first.last) envelope.last = first.last;
    if (!this.asker.send(envelope)) return;
    if (isPast(first)) raiseAll(this.top, this.seen);
    for (const route of routes) route.every = pace;
    for (const sub of subs) {
      sub.step = ASKED;
      this.waiting.delete(sub);
    }
    this.requests.set(envelope.id, { subs, pace, isResume: since.size > 0 });
  }

  /** The broker brings nothing again that came by another filter, unless that is named, too; and who names
   * a filter says for all who share it where it goes on. */
  private reachBack(first: Sub, routes: Set<Route>, since: Positions): void {
    const own = [...routes];
    if (first.step === NEW)
      for (const route of this.routes.values())
        if (route.every < Infinity && own.some(({ levels }) => meet(levels, route.levels)))
          routes.add(route);
    for (const { subs, every } of routes)
      for (const { group, step } of every < Infinity ? subs : [])
        for (const [stream, offset] of step === ASKED || step === LIVE ? group?.at ?? [] : [])
          if (isBeyond(since.get(stream) ?? "", offset)) since.set(stream, offset);
  }

  private begin({ pace, isResume }: Request, subs: Sub[], envelope: Envelope): void {
    const starts = read(envelope.pos);
    const isRecovered = isResume && envelope.recovered === true;
    if (subs[0] && isPast(subs[0])) raiseAll(this.top, this.seen);
    let group: Group | undefined;
    const resumed = subs.map((sub) => sub.wasAnswered);
    for (const sub of subs) {
      if (isResume && !sub.wasAnswered) sub.joined = new Map(this.seen);
      if (!isResume) {
        raiseAll(sub.begin, starts);
        group = this.lanes.get(pace) ?? this.newGroup(pace, new Map());
        learn(group.at, starts);
      } else if (!isRecovered) {
        sub.begin = new Map(starts);
        group ??= this.newGroup(pace, new Map(starts));
      } else {
        learn(sub.begin, starts);
        group ??= this.newGroup(pace, new Map(sub.group?.at));
        learn(group.at, starts);
      }
      sub.group = group;
      sub.retained = isRecovered ? 2 : 0;
      sub.step = LIVE;
      sub.wasAnswered = true;
    }
    raiseAll(this.seen, starts);
    subs.forEach((sub, i) => {
      const resumes = resumed[i] as boolean;
      /* A handler of one before may have closed it. */
      if (sub.step === LIVE)
        sub.tell(isResume ? { resumed: resumes, recovered: isRecovered } : { resumed: resumes });
    });
  }

  private refuse(subs: Sub[], envelope: Envelope): void {
    const error = errorOf(envelope);
    for (const sub of subs) {
      if (subs.length === 1 && error.retry === undefined) {
        sub.finish(error);
        continue;
      }
      sub.step = sub.wasAnswered ? STALE : NEW;
      sub.isAlone = subs.length > 1;
      sub.due = error.retry === undefined ? 0 : Date.now() + error.retry;
      this.wait(sub);
    }
  }

  private newGroup(pace: number, at: Positions): Group {
    const group: Group = { at, pace, mark: new Map(), markedAt: Date.now() };
    this.groups.add(group);
    if (!this.lanes.has(pace)) this.lanes.set(pace, group);
    return group;
  }

  /** Says whether a publication is for this subscription and has not come to it before. */
  private wants(sub: Sub, matched: Set<Sub>, pos: [string, string]): boolean {
    const isLive = sub.step === LIVE;
    if (covers(sub.begin, ...pos)) return isLive && sub.isRewinding;
    if (!isLive && !((sub.step === ASKED || sub.step === STALE) && sub.wasAnswered && sub.group?.at.size))
      return false;
    if (covers(this.top, ...pos)) {
      if (sub.group && covers(sub.group.at, ...pos)) return false;
      /* What one of them had, all had that were there. */
      if (!covers(sub.joined, ...pos))
        for (const { begin, group } of matched)
          if (group && covers(group.at, ...pos) && !covers(begin, ...pos)) return false;
    }
    sub.isRewinding = false;
    if (sub.retained === 1) sub.retained = 2;
    return true;
  }

  /** A publication has come: nothing before it will, but for what `every` holds back. */
  private advance([stream, offset]: [string, string], pace: number): void {
    const now = Date.now();
    raise(this.seen, stream, offset);
    this.current.set(stream, offset);
    for (const group of this.groups) {
      if (group.pace === 0 || group.pace === pace) {
        raise(group.at, stream, offset);
      } else if (now > group.markedAt + 2 * group.pace + 1000) {
        raiseAll(group.at, group.mark);
        group.mark = new Map(this.current);
        group.markedAt = now;
      }
    }
    if (this.groups.size > this.lanes.size) this.join();
  }

  /** Those that have caught up go on with the others. */
  private join(): void {
    for (const group of this.groups) {
      const lane = this.lanes.get(group.pace) as Group;
      if (lane === group || ![...group.at].every(([stream, at]) => lane.at.get(stream) === at))
        continue;
      this.groups.delete(group);
      for (const sub of this.all) if (sub.group === group) sub.group = lane;
    }
  }
}

const isPast = (sub: Sub): boolean => sub.last > 0 || !!sub.group?.at.size;

/** Says whether requests for the two meet: what both ask of the past, or the filter itself. */
const isRelated = (sub: Sub, other: Sub): boolean =>
  sub.filters.some((a) =>
    other.filters.some((b) => (isPast(sub) ? meet(a.split("/"), b.split("/")) : a === b)),
  );

/** A last value is given for subscribing; who has had it, then or as news, does not get it again. */
function wantsRetained(sub: Sub, pos: [string, string]): boolean {
  if (!covers(sub.begin, ...pos)) return !(sub.group && covers(sub.group.at, ...pos));
  if (sub.retained === 2) return false;
  sub.retained = 1;
  return true;
}

/** Takes over the streams that are new. */
function learn(at: Positions, starts: Positions): void {
  for (const [stream, offset] of starts) if (!at.has(stream)) raise(at, stream, offset);
}
