/**
 * The subscriptions of a client: which must be asked for (again), how far each has come, and whose
 * handlers a delivery goes to.
 *
 * - The broker delivers each publication once, however many filters match, and in ascending order
 *   of offsets, but for what `every` holds back. So all that share an `every` share a Group, whose
 *   positions every delivery raises; one that goes on from an older position has a Group of its own
 *   until it has caught up. After a break each Group is asked for in one `sub`.
 * - A `since` that reaches back makes the broker bring again what others had: they are known by
 *   positions.
 * - Where several want one filter with a different `every`, the broker has the shortest, and the
 *   others are throttled here.
 */
import { FantailError } from "./errors.js";
import { toMessage } from "./json.js";
import {
  covers,
  isBeyond,
  list,
  parse,
  put,
  raise,
  raiseAll,
  read,
  type Positions,
} from "./positions.js";
import { errorOf, nextId, type Port } from "./publisher.js";
import { ASKED, LIVE, NEW, OVER, STALE, Sub, type Group } from "./subscription.js";
import { isExact, isFilter, meet } from "./topics.js";
import type { Envelope } from "./transport.js";
import type { Gap, SubscribeOptions } from "./types.js";

/** What a rewind brings cannot be told from what a resume replays, so the one waits until the other
 * is likely to be through. */
const REPLAY_MS = 3000;
/** And a second rewind until the first is: that is a few messages of each topic. */
const REWIND_MS = 1000;

interface Route {
  filter_: string;
  levels_: string[];
  subs_: Set<Sub>;
  /** What the broker was asked for on this connection; Infinity: nothing. */
  every_: number;
}

interface Request {
  subs_: Sub[];
  pace_: number;
  /** It had positions. */
  isResume_: boolean;
}

export class Subscriptions {
  readonly all_ = new Set<Sub>();
  private readonly waiting_ = new Set<Sub>();
  private readonly routes_ = new Map<string, Route>();
  private readonly wild_ = new Set<Route>();
  private timer_: ReturnType<typeof setTimeout> | undefined;
  private isScheduled_ = false;
  /** All that was ever seen; what of it may come again. */
  private readonly seen_: Positions = new Map();
  private readonly top_: Positions = new Map();

  /* this connection */
  private readonly requests_ = new Map<unknown, Request>();
  private readonly groups_ = new Set<Group>();
  private readonly lanes_ = new Map<number, Group>();
  private readonly current_: Positions = new Map();

  constructor(private readonly port_: Port) {}

  add_(filters: readonly string[], options: SubscribeOptions): Sub {
    if (!filters.length) throw new FantailError(400, "a subscription needs a filter");
    for (const filter of filters)
      if (!isFilter(filter)) throw new FantailError(400, `${JSON.stringify(filter)} is no filter`);
    for (const pos of options.since ?? [])
      if (!parse(pos)) throw new FantailError(400, `${JSON.stringify(pos)} is no position`);
    const sub = new Sub([...new Set(filters)], options, this.remove_);
    if (sub.step_ === OVER) return sub;
    for (const filter of sub.filters) this.routeOf_(filter).subs_.add(sub);
    this.all_.add(sub);
    this.wait_(sub);
    return sub;
  }

  /** Asks for what is due. Those that can go on together are put into one request. */
  ask_(): void {
    this.isScheduled_ = false;
    if (!this.waiting_.size || !this.port_.isOpen_()) return;
    const now = Date.now();
    const batch = new Map<string, Sub[]>();
    const texts = new Map<Group | undefined, string>();
    let next = Infinity;
    for (const step of [STALE, NEW])
      for (const sub of this.waiting_) {
        if (sub.step_ !== step) continue;
        const { group_: group, isAlone_: isAlone } = sub;
        if (!texts.has(group)) texts.set(group, String(group && list(group.at_)));
        const key = JSON.stringify([
          step,
          sub.every_,
          texts.get(group),
          group?.at_.size ? isAlone && sub.filters : [sub.last_, sub.filters],
        ]);
        const wait = Math.max(sub.due_ - now, batch.has(key) ? 0 : this.held_(sub, now));
        if (wait > 0) {
          next = Math.min(next, wait);
          continue;
        }
        if (isPast(sub)) sub.pastAsked_ = now;
        sub.isRewinding_ = sub.last_ > 0;
        const subs = batch.get(key);
        if (subs) subs.push(sub);
        else batch.set(key, [sub]);
      }
    for (const subs of batch.values()) this.requestAll_(subs);
    clearTimeout(this.timer_);
    if (next < Infinity) this.timer_ = setTimeout(() => this.ask_(), next);
  }

  /** The broker answered. Says whether it was one of these requests. */
  answer_(envelope: Envelope): boolean {
    const request = this.requests_.get(envelope.id);
    if (!request) return false;
    this.requests_.delete(envelope.id);
    const subs = request.subs_.filter((sub) => sub.step_ === ASKED);
    if (envelope.op === "ok") this.begin_(request, subs, envelope);
    else this.refuse_(subs, envelope);
    return true;
  }

  deliver_(envelope: Envelope): void {
    const topic = String(envelope.topic);
    const matched = new Set<Sub>();
    let pace = Infinity;
    for (const route of this.match_(topic)) {
      pace = Math.min(pace, route.every_);
      for (const sub of route.subs_) matched.add(sub);
    }
    const pos = parse(envelope.pos);
    const isNews = pos && !envelope.retained;
    const takers = [...matched].filter((sub) =>
      !pos
        ? sub.step_ === LIVE
        : isNews
          ? this.wants_(sub, matched, pos)
          : sub.step_ === LIVE && wantsRetained(sub, pos),
    );
    if (isNews) this.advance_(pos, pace);
    if (!takers.length) return;
    const message = toMessage(envelope);
    for (const sub of takers) sub.give_(message, sub.every_ > pace && !message.retained);
  }

  /** The broker said that what is missing up to these positions will not come. */
  gap_(envelope: Envelope): void {
    const at = read(envelope.pos);
    raiseAll(this.seen_, at);
    for (const group of this.groups_) raiseAll(group.at_, at);
    const gap = { reason: envelope.reason } as Gap;
    if (typeof envelope.lost === "number") gap.lost = envelope.lost;
    for (const sub of this.all_) if (sub.step_ === LIVE) sub.tellGap_(gap);
  }

  /** The broker has ended the subscriptions to these filters: they are not asked for again. */
  dropFilters_(filters: unknown, error: FantailError): void {
    for (const filter of Array.isArray(filters) ? filters : [])
      for (const sub of this.routes_.get(filter)?.subs_ ?? []) {
        /* What is asked for anew is behind this, and not meant. */
        if (sub.step_ !== LIVE) continue;
        sub.filters.splice(sub.filters.indexOf(filter), 1);
        this.leave_(filter, sub);
        if (!sub.filters.length) sub.finish_(error);
      }
  }

  /** Everything that was asked for must be asked for again. */
  break_(): void {
    for (const state of [this.requests_, this.groups_, this.lanes_, this.current_]) state.clear();
    for (const route of this.routes_.values()) route.every_ = Infinity;
    for (const sub of this.all_) {
      sub.step_ = sub.wasAnswered_ ? STALE : NEW;
      sub.isAlone_ = sub.isRewinding_ = sub.isAgain_ = false;
      sub.due_ = sub.pastAsked_ = 0;
      this.waiting_.add(sub);
    }
  }

  end_(error?: Error, why?: Error): void {
    for (const sub of [...this.all_]) sub.finish_(error, why);
  }

  private readonly remove_ = (sub: Sub): void => {
    const gone = sub.filters.filter((filter) => this.leave_(filter, sub) && this.port_.isOpen_());
    this.all_.delete(sub);
    this.waiting_.delete(sub);
    if (gone.length) this.port_.send_({ op: "unsub", topics: gone });
  };

  private routeOf_(filter: string): Route {
    let route = this.routes_.get(filter);
    if (!route) {
      route = { filter_: filter, levels_: filter.split("/"), subs_: new Set(), every_: Infinity };
      this.routes_.set(filter, route);
      if (!isExact(filter)) this.wild_.add(route);
    }
    return route;
  }

  /** Says whether the broker has the filter and nobody needs it any more. */
  private leave_(filter: string, sub: Sub): boolean {
    const route = this.routes_.get(filter);
    if (!route?.subs_.delete(sub) || route.subs_.size) return false;
    this.routes_.delete(filter);
    this.wild_.delete(route);
    return route.every_ < Infinity;
  }

  private match_(topic: string): Route[] {
    const exact = this.routes_.get(topic);
    const found = exact ? [exact] : [];
    if (this.wild_.size) {
      const levels = topic.split("/");
      for (const route of this.wild_) if (meet(route.levels_, levels)) found.push(route);
    }
    return found;
  }

  /** What is subscribed to together is asked for together. */
  private wait_(sub: Sub): void {
    this.waiting_.add(sub);
    if (!this.isScheduled_) queueMicrotask(() => this.ask_());
    this.isScheduled_ = true;
  }

  /** For how long a request would disturb the past that another one has just asked for, or be
   * disturbed. */
  private held_(sub: Sub, now: number): number {
    let wait = 0;
    for (const other of this.all_) {
      if (other === sub || !(sub.last_ || other.isRewinding_)) continue;
      if (!isRelated(sub, other)) continue;
      const rest = other.pastAsked_ + (other.isRewinding_ ? REWIND_MS : REPLAY_MS) - now;
      wait = Math.max(wait, rest);
      if (rest <= 0) other.isRewinding_ = false;
    }
    return wait;
  }

  /** Sends a request, or several where one would be too long. */
  private requestAll_(subs: Sub[]): void {
    const { message, topics } = this.port_.limits_();
    let part: Sub[] = [];
    let bytes = 0;
    let count = 0;
    const group = subs[0]?.group_;
    const begin = 256 + (group ? JSON.stringify(list(group.at_)).length : 0);
    for (const sub of subs) {
      const size = this.port_.sizeOf_({ op: "", topics: sub.filters });
      if (begin + size > message) {
        this.waiting_.delete(sub);
        sub.finish_(
          new FantailError(413, "the filters of one subscription are longer than the broker takes"),
        );
        continue;
      }
      if (part.length && (begin + bytes + size > message || count + sub.filters.length > topics)) {
        this.request_(part);
        part = [];
        bytes = count = 0;
      }
      part.push(sub);
      bytes += size;
      count += sub.filters.length;
    }
    if (part.length) this.request_(part);
  }

  private request_(subs: Sub[]): void {
    const first = subs[0] as Sub;
    const since: Positions = new Map(first.group_?.at_);
    const routes = new Set(
      subs.flatMap((sub) => sub.filters.map((filter) => this.routeOf_(filter))),
    );
    if (since.size) this.reachBack_(first, routes, since);
    const pace = Math.min(first.every_, ...[...routes].map((route) => route.every_));
    const envelope: Envelope = {
      op: "sub",
      id: nextId(),
      topics: [...routes].map((route) => route.filter_),
    };
    if (since.size) envelope.since = list(since);
    if (pace) envelope.every = pace;
    if (first.last_) envelope.last = first.last_;
    if (!this.port_.send_(envelope)) return;
    for (const route of routes) route.every_ = pace;
    for (const sub of subs) {
      sub.step_ = ASKED;
      this.waiting_.delete(sub);
    }
    this.requests_.set(envelope.id, { subs_: subs, pace_: pace, isResume_: since.size > 0 });
  }

  /** The broker brings nothing again that came by another filter, unless that is named, too; and
   * who names a filter says for all who share it where it goes on. */
  private reachBack_(first: Sub, routes: Set<Route>, since: Positions): void {
    const own = [...routes];
    if (first.step_ === NEW)
      for (const route of this.routes_.values())
        if (
          route.every_ < Infinity &&
          own.some(({ levels_: levels }) => meet(levels, route.levels_))
        )
          routes.add(route);
    for (const { subs_: subs, every_: every } of routes)
      for (const { group_: group, step_: step } of every < Infinity ? subs : [])
        for (const [stream, offset] of step === ASKED || step === LIVE ? (group?.at_ ?? []) : [])
          if (isBeyond(since.get(stream) ?? "", offset)) since.set(stream, offset);
  }

  private begin_(
    { pace_: pace, isResume_: isResume }: Request,
    subs: Sub[],
    envelope: Envelope,
  ): void {
    const starts = read(envelope.pos);
    const isRecovered = isResume && envelope.recovered === true;
    if (subs[0] && isPast(subs[0])) raiseAll(this.top_, this.seen_);
    let group: Group | undefined;
    const wereTold = new Set(subs.filter((sub) => sub.isAgain_));
    for (const sub of subs) {
      if (isResume && !takesPart(sub)) sub.joined_ = new Map(this.seen_);
      if (!isResume) {
        raiseAll(sub.begin_, starts);
        group = this.lanes_.get(pace) ?? this.newGroup_(pace, new Map());
        learn(group.at_, starts);
      } else if (!isRecovered) {
        if (this.beginLife_(sub, starts)) continue;
        sub.begin_ = new Map(starts);
        group ??= this.newGroup_(pace, new Map(starts));
      } else {
        learn(sub.begin_, starts);
        group ??= this.newGroup_(pace, new Map(sub.group_?.at_));
        learn(group.at_, starts);
      }
      sub.group_ = group;
      sub.retained_ = isRecovered ? 2 : 0;
      sub.isAgain_ = false;
      sub.step_ = LIVE;
    }
    raiseAll(this.seen_, starts);
    for (const sub of subs) {
      const resumed = sub.wasAnswered_;
      sub.wasAnswered_ = true;
      /* A handler of one before may have closed it. */
      if (sub.step_ === OVER || wereTold.has(sub)) continue;
      sub.tell_(isResume ? { resumed, recovered: isRecovered } : { resumed });
    }
  }

  /**
   * Who wanted the latest, and comes to a broker with a life that it did not know, wants all of that
   * life: what was published between the end of the one and its own return. Says whether it has to ask
   * for that; until then it takes nothing, because all of it will come.
   */
  private beginLife_(sub: Sub, starts: Positions): boolean {
    const before = sub.group_?.at_;
    const lives = [...starts].filter(([stream, at]) => at !== "0" && !before?.has(stream));
    if (!sub.options_.last || sub.isAgain_ || !lives.length) return false;
    sub.group_ = undefined;
    sub.step_ = NEW;
    sub.goOn_(list(new Map([...starts, ...lives.map(([stream]) => [stream, "0"] as const)])));
    sub.isAgain_ = true;
    this.wait_(sub);
    return true;
  }

  private refuse_(subs: Sub[], envelope: Envelope): void {
    const error = errorOf(envelope);
    for (const sub of subs) {
      if (subs.length === 1 && error.retry === undefined) {
        sub.finish_(error);
        continue;
      }
      sub.step_ = sub.wasAnswered_ ? STALE : NEW;
      sub.isAlone_ ||= subs.length > 1 && error.retry === undefined;
      sub.due_ = error.retry === undefined ? 0 : Date.now() + error.retry;
      this.wait_(sub);
    }
  }

  private newGroup_(pace: number, at: Positions): Group {
    const group: Group = { at_: at, pace_: pace, mark_: new Map(), markedAt_: Date.now() };
    this.groups_.add(group);
    if (!this.lanes_.has(pace)) this.lanes_.set(pace, group);
    return group;
  }

  /** Says whether a publication is for this subscription and has not come to it before. */
  private wants_(sub: Sub, matched: Set<Sub>, pos: [string, string]): boolean {
    const isLive = sub.step_ === LIVE;
    if (covers(sub.begin_, ...pos)) return isLive && sub.isRewinding_;
    if (
      !isLive &&
      !((sub.step_ === ASKED || sub.step_ === STALE) && takesPart(sub) && sub.group_?.at_.size)
    )
      return false;
    if (covers(this.top_, ...pos)) {
      if (sub.group_ && covers(sub.group_.at_, ...pos)) return false;
      /* What one of them had, all had that were there. */
      if (!covers(sub.joined_, ...pos))
        for (const { begin_: begin, group_: group } of matched)
          if (group && covers(group.at_, ...pos) && !covers(begin, ...pos)) return false;
    }
    /* What it looked back on is through. */
    if (sub.isRewinding_) sub.pastAsked_ = 0;
    sub.isRewinding_ = false;
    if (sub.retained_ === 1) sub.retained_ = 2;
    return true;
  }

  /** A publication has come: nothing before it will, but for what `every` holds back. */
  private advance_([stream, offset]: [string, string], pace: number): void {
    const now = Date.now();
    raise(this.seen_, stream, offset);
    put(this.current_, stream, offset);
    for (const group of this.groups_) {
      if (group.pace_ === 0 || group.pace_ === pace) {
        raise(group.at_, stream, offset);
      } else if (now > group.markedAt_ + 2 * group.pace_ + 1000) {
        raiseAll(group.at_, group.mark_);
        group.mark_ = new Map(this.current_);
        group.markedAt_ = now;
      }
    }
    if (this.groups_.size > this.lanes_.size) this.join_();
  }

  /** Those that have caught up go on with the others. */
  private join_(): void {
    for (const group of this.groups_) {
      const lane = this.lanes_.get(group.pace_) as Group;
      if (lane === group || ![...group.at_].every(([stream, at]) => lane.at_.get(stream) === at))
        continue;
      this.groups_.delete(group);
      for (const sub of this.all_) if (sub.group_ === group) sub.group_ = lane;
    }
  }
}

/** Says whether it has what comes while its request has no answer. */
const takesPart = (sub: Sub): boolean => sub.wasAnswered_ && !sub.isAgain_;

const isPast = (sub: Sub): boolean => sub.last_ > 0 || !!sub.group_?.at_.size;

/** Says whether requests for the two meet: what both ask of the past, or the filter itself. */
const isRelated = (sub: Sub, other: Sub): boolean =>
  sub.filters.some((a) =>
    other.filters.some((b) => (isPast(sub) ? meet(a.split("/"), b.split("/")) : a === b)),
  );

/** A last value is given for subscribing; who has had it, then or as news, does not get it again.
 */
function wantsRetained(sub: Sub, pos: [string, string]): boolean {
  if (!covers(sub.begin_, ...pos)) return !(sub.group_ && covers(sub.group_.at_, ...pos));
  if (sub.retained_ === 2) return false;
  sub.retained_ = 1;
  return true;
}

/** Takes over the streams that are new. */
function learn(at: Positions, starts: Positions): void {
  for (const [stream, offset] of starts) if (!at.has(stream)) raise(at, stream, offset);
}
