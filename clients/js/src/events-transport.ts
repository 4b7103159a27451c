/**
 * The transport for networks whose proxies break WebSockets: what comes is an event stream, what goes are HTTP
 * requests. An event stream is one `sub`, and there is one at a time, with all filters and their smallest `every`;
 * where the set changes another one takes over, from the positions so far, and the Session sees to it that nothing
 * comes twice. A new filter looks back (`last`, last values) on a stream of its own, which ends when all of that
 * has come.
 *
 *     sub, nothing there yet ──▶ stream          sub with since ──▶ next stream, of all, from the least position
 *     sub, others are there ───▶ look back, ───▶ next stream, of all; where that has come to the position of the
 *                                looking back the `sub` is answered: everything before is out, as with a broker
 */
import { Http, Posts, question, Refusal } from "./events-http.js";
import { Stream, type StreamRequest } from "./events-stream.js";
import { claimsOf } from "./jwt.js";
import { after, beginning, isBeyond, lesser } from "./places.js";
import { covers, list, parse, type Positions, raise, raiseAll, read } from "./positions.js";
import { levelsOf, overlap, Session } from "./session.js";
import type { Ending, Envelope, OpenTransport, Transport, TransportHandlers } from "./transport.js";

/** A stream says something, if only a comment, every 25 s unless the operator chose another time, ms. */
const SILENCE_MAX = 75_000;
/** Filters that are not wanted any more stay in the stream for so long: others may follow, ms. */
const TIDY_AFTER = 250;
/** A stream that does not begin within this time will not, ms. */
const PATIENCE = 30_000;
/** Where nothing says that all of the past has come: so long after the stream's beginning it has, ms. */
const QUIET = 5000;

interface Subscribing {
  topics: string[];
  since?: string[];
  last?: number;
  every?: number;
}

/** A stream that has begun and first brings what is past: for filters that are new, up to `begin`. */
interface LookingBack {
  stream: Stream;
  begin: Positions | undefined;
  done(): void;
}

/** A `sub` that is answered when the stream is past `until`: what looked back is at `begin`, the others were, perhaps,
 * further on. */
interface Answering {
  levels: string[][];
  begin: Positions;
  until: Positions;
  /** What the others had: the next stream may say that all has come before it is there. */
  had: Positions;
  isIdle: boolean;
  answer(): void;
}

class Events implements Transport {
  private readonly http: Http;
  private readonly posts: Posts;
  private readonly session: Session;
  private readonly waiting: Envelope[] = [];
  /** How far the feed has come, in each stream. */
  private at: Positions = new Map();
  private stream: Stream | undefined;
  /** The next one, or one that looks back. */
  private next: Stream | undefined;
  /** `every` of the stream. */
  private thinned = 0;
  private isBusy = false;
  private isOver = false;
  private looking: LookingBack | undefined;
  private past: Envelope[] = [];
  private answering: Answering | undefined;
  private stopWaiting = (): void => undefined;
  private tidying: ReturnType<typeof setTimeout> | undefined;
  private readonly watch: ReturnType<typeof setInterval>;

  constructor(
    options: Parameters<OpenTransport>[0],
    private readonly handlers: TransportHandlers,
  ) {
    this.http = new Http(options);
    this.session = new Session((envelope) => this.handlers.onEnvelope(envelope));
    this.posts = new Posts(
      this.http,
      (request, reply) => this.reply(request, reply),
      (error) => this.lost(error),
    );
    this.watch = setInterval(() => this.look(), SILENCE_MAX / 5);
    void this.begin();
  }

  send(envelope: Envelope): boolean {
    if (this.isOver) return false;
    const { op } = envelope;
    if (op === "pub") this.posts.add(envelope);
    else if (op === "sub" || op === "unsub" || op === "ping") this.queue(envelope);
    else if (op === "auth") this.authenticate(envelope);
    else void this.ask(envelope);
    return true;
  }

  close(code = 1000, reason = ""): void {
    queueMicrotask(() => this.end({ code, reason }));
  }

  /** Asks for an event stream's head alone: it says whether HTTP gets through, and the token is good. */
  private async begin(): Promise<void> {
    try {
      await this.http.ask("v1/events", [["topic", "fantail"]], { method: "HEAD" });
    } catch (error) {
      this.lost(error);
      return;
    }
    const { sub, exp } = claimsOf(this.http.token);
    if (this.isOver) return;
    this.handlers.onEnvelope({
      op: "welcome",
      version: 1,
      session: `events-${Math.random().toString(36).slice(2)}`,
      node: "",
      user: sub ?? null,
      ping: 25,
      limits: { message: 65_536, topics: 1024, queue: 1_048_576 },
      ...(exp && { expires: exp * 1000 }),
    });
  }

  private end(ending: Ending): void {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.watch);
    clearTimeout(this.tidying);
    this.stopWaiting();
    this.stream?.close();
    this.next?.close();
    this.session.end();
    this.handlers.onEnd(ending);
  }

  /** The network failed, or the broker refused what it has to take. */
  private lost(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof Refusal) {
      const { code, retry } = error;
      this.end({ code: 1006, reason, status: code, ...(retry && { retry }) });
    } else this.end({ code: 1006, reason });
  }

  /** A stream from which nothing comes may be dead: another one goes on where it was. */
  private look(): void {
    if (this.stream && Date.now() - this.stream.heard > SILENCE_MAX) this.queue({ op: "again" });
  }

  private reply({ id }: Envelope, reply: Envelope): void {
    if (this.isOver) return;
    if (id !== undefined) this.handlers.onEnvelope({ ...reply, id });
    else if (reply.op === "error") this.handlers.onEnvelope(reply);
  }

  private async ask(envelope: Envelope): Promise<void> {
    try {
      const reply = await question(this.http, envelope);
      const isPong = envelope.op === "ping" && envelope.id === undefined;
      if (isPong && !this.isOver) this.handlers.onEnvelope({ op: "pong" });
      else this.reply(envelope, reply);
    } catch (error) {
      if (error instanceof Refusal) this.reply(envelope, error.envelope);
      else this.lost(error);
    }
  }

  private authenticate(envelope: Envelope): void {
    this.http.token = String(envelope.token);
    const { exp } = claimsOf(this.http.token);
    this.reply(envelope, { op: "ok", ...(exp && { expires: exp * 1000 }) });
    if (this.stream) this.queue({ op: "again" });
  }

  /* ---- what is subscribed to, one change after another ---- */

  private queue(envelope: Envelope): void {
    this.waiting.push(envelope);
    if (!this.isBusy) void this.work();
  }

  private async work(): Promise<void> {
    this.isBusy = true;
    for (let next = this.waiting.shift(); next && !this.isOver; next = this.waiting.shift()) {
      try {
        await this.change(next);
      } catch (error) {
        if (error instanceof Refusal && next.op === "sub") this.reply(next, error.envelope);
        else this.lost(error);
      }
    }
    this.isBusy = false;
  }

  private change(envelope: Envelope): Promise<void> {
    const sub = envelope as unknown as Subscribing;
    if (envelope.op === "again") return this.goOn(this.at);
    /* A ping is answered after everything that was asked before it, and what that brought of the past. */
    if (envelope.op === "ping") return this.ask(envelope);
    if (envelope.op === "unsub") {
      this.unsubscribe(sub.topics);
      this.reply(envelope, { op: "ok" });
      return Promise.resolve();
    }
    return sub.since ? this.resume(envelope, sub) : this.lookBack(envelope, sub);
  }

  private unsubscribe(topics: readonly string[]): void {
    this.session.remove(topics);
    clearTimeout(this.tidying);
    if (this.session.filters.length) {
      this.tidying = setTimeout(() => this.queue({ op: "again" }), TIDY_AFTER);
    } else {
      this.stream?.close();
      this.stream = undefined;
    }
  }

  /** Opens a stream; `onOk` hears where it begins, and up to where what is past is for new filters. Resolved once
   * all of the past has come. */
  private async open(
    request: StreamRequest,
    onOk: (ok: Envelope, stream: Stream) => Positions | undefined,
  ): Promise<Stream> {
    const stream = await new Promise<Stream>((resolve, fail) => {
      const opened: Stream = new Stream(this.http, request, {
        onEnvelope: (envelope) => {
          if (envelope.op === "ok") {
            clearTimeout(timer);
            const begin = onOk(envelope, opened);
            this.looking = { stream: opened, begin, done: () => resolve(opened) };
            timer = setTimeout(() => this.lookedBack(opened, true), QUIET);
          } else this.take(opened, envelope);
        },
        onIdle: () => this.lookedBack(opened),
        onEnd: (error) => {
          clearTimeout(timer);
          fail(error);
          if (opened === this.stream || opened === this.looking?.stream) this.lost(error);
        },
      });
      let timer = setTimeout(() => fail(new Error("no event stream within 30 s")), PATIENCE);
      this.stopWaiting = () => clearTimeout(timer);
      this.next = opened;
    });
    this.stopWaiting();
    return stream;
  }

  /** From here on `stream` is the feed, which goes on from `at`. */
  private adopt(stream: Stream, every: number, at: Positions): void {
    this.session.mark(this.at);
    if (this.stream !== stream) this.stream?.close();
    this.stream = stream;
    this.next = undefined;
    this.thinned = every;
    this.at = at;
    clearTimeout(this.tidying);
  }

  /** Subscribes filters that begin now: they look back, and then the others go on together with them. */
  private async lookBack(envelope: Envelope, { topics, last = 0, every = 0 }: Subscribing): Promise<void> {
    const isFirst = !this.stream;
    let begin: Positions = new Map();
    const answer = (): void => {
      this.session.add(topics, every, begin, false);
      this.reply(envelope, { op: "ok", pos: list(begin) });
      for (const one of this.past.splice(0)) this.handlers.onEnvelope(one);
    };
    const stream = await this.open({ topics, last, every }, (ok, opened) => {
      begin = read(ok.pos);
      if (!isFirst) return begin;
      this.adopt(opened, every, new Map(begin));
      answer();
      return begin;
    });
    if (isFirst || this.isOver) return;
    stream.close();
    const looked = begin;
    await this.goOn(lesser(this.at, begin), topics, every, (_, __, before) => {
      begin = new Map(begin);
      raiseAll(begin, before);
      this.answering = { levels: topics.map(levelsOf), begin: looked, until: begin, had: before, isIdle: false, answer };
    });
  }

  private answerSub(): void {
    const { answering } = this;
    this.answering = undefined;
    answering?.answer();
  }

  private lookedBack(stream: Stream, isLate = false): void {
    if (this.looking?.stream !== stream) return;
    const { answering } = this;
    if (answering && !isLate && isBeyond(answering.had, this.at)) {
      answering.isIdle = true;
      return;
    }
    if (stream === this.stream) this.answerSub();
    this.looking.done();
    this.looking = undefined;
  }

  /** Opens the next stream, of all filters and `topics`. `onOk` hears whether it is complete from `since` on. */
  private async goOn(
    since: Positions,
    topics: readonly string[] = [],
    every = Infinity,
    onOk?: (ok: Envelope, starts: Positions, before: Positions) => void,
  ): Promise<void> {
    const all = [...new Set([...this.session.filters, ...topics])];
    const shortest = Math.min(every, this.session.shortest);
    if (!all.length) return;
    await this.open({ topics: all, since: list(since), every: shortest }, (ok, stream) => {
      const starts = read(ok.pos);
      const before = this.at;
      const hasGap = !ok.recovered && this.session.filters.length > 0 && isBeyond(starts, before);
      this.adopt(stream, shortest, after(before, since, starts, ok.recovered === true));
      onOk?.(ok, starts, before);
      if (hasGap) this.handlers.onEnvelope({ op: "gap", reason: "expired", pos: ok.pos });
      return undefined;
    });
  }

  private resume(envelope: Envelope, { topics, since = [], every = 0 }: Subscribing): Promise<void> {
    const named = read(since);
    return this.goOn(lesser(this.at, named), topics, every, (ok, starts) => {
      const begin = beginning(named, starts, ok.recovered === true);
      this.session.add(topics, every, begin, true);
      const pos = [...starts.keys()].map((stream) => `${stream}.${begin.get(stream)}`);
      this.reply(envelope, { op: "ok", pos, recovered: ok.recovered });
    });
  }

  /* ---- what comes ---- */

  private take(stream: Stream, envelope: Envelope): void {
    if (envelope.op === "msg") this.message(stream, envelope);
    else if (envelope.op === "bye") {
      this.handlers.onEnvelope(envelope);
      this.end({ code: Number(envelope.code), reason: String(envelope.reason) });
    } else if (stream === this.stream) {
      if (Array.isArray(envelope.unsubscribed)) this.unsubscribe(envelope.unsubscribed as string[]);
      raiseAll(this.at, read(envelope.pos));
      this.handlers.onEnvelope(envelope);
    }
  }

  private message(stream: Stream, envelope: Envelope): void {
    const position = parse(envelope.pos);
    const begin = this.looking?.stream === stream ? this.looking.begin : undefined;
    if (begin && (envelope.retained || (position && covers(begin, ...position)))) {
      if (stream === this.stream) this.handlers.onEnvelope(envelope);
      else this.past.push(envelope);
      return;
    }
    if (begin) this.lookedBack(stream); /* what is live comes after all of the past */
    if (stream !== this.stream || envelope.retained) return; /* that is for filters that are not new */
    if (position) {
      this.approach(envelope, position);
      raise(this.at, ...position);
    }
    this.session.take(envelope, this.thinned);
    if (this.answering?.isIdle) this.lookedBack(stream);
  }

  /** Answers a `sub` where the stream has come to. What the others had before that belongs to what it looks back on. */
  private approach(envelope: Envelope, position: [string, string]): void {
    const { answering } = this;
    if (!answering) return;
    if (!covers(answering.until, ...position)) {
      this.answerSub();
      if (answering.isIdle && this.looking) this.lookedBack(this.looking.stream);
    } else if (!covers(answering.begin, ...position)) {
      if (overlap(answering.levels, [levelsOf(String(envelope.topic))])) this.past.push(envelope);
    }
  }
}

export const openEvents: OpenTransport = (options, handlers) => new Events(options, handlers);
