/**
 * What was asked and has no answer yet: publications, histories, who is present, pings. Each
 * settles exactly once. What waits for a connection is bounded; what a break has cut off is sent
 * again where that does no harm, that is, all but a publication without a `key`.
 */
import { abortError, ConnectionLostError, FantailError, QueueFullError } from "./errors.js";
import type { Envelope } from "./transport.js";

/** For how long a key is trusted: the broker remembers it for 120 s from when it took it. */
const KEY_MS = 100_000;

interface Request {
  envelope_: Envelope;
  bytes_: number;
  /** When it was last sent on this connection; 0: it waits to be. */
  sent_: number;
  /** The same, by a clock that measures. */
  started_: number;
  /** When it was first sent without learning what became of it. */
  unsure_: number;
  timer_?: ReturnType<typeof setTimeout> | undefined;
  settle_(error: Error | null, answer?: Envelope): void;
}

/** The connection, as those see it who send. */
export interface Port {
  /** False: there is no connection that takes it now. */
  send_(envelope: Envelope): boolean;
  isOpen_(): boolean;
  /** What the broker takes: bytes of a message, filters of a session. */
  limits_(): { message: number; topics: number };
  /** Bytes of an envelope in a message. Throws where it cannot be one. */
  sizeOf_(envelope: Envelope): number;
}

let lastId = 0;
/** Ids are never used again, so that a late answer is nobody's. */
export const nextId = (): number => ++lastId;

export class Publisher {
  private readonly requests_ = new Map<unknown, Request>();

  constructor(
    private readonly port_: Port,
    private readonly maxMessages_ = 1000,
    private readonly maxBytes_ = 1 << 20,
  ) {}

  ask_(envelope: Envelope, signal?: AbortSignal): Promise<Envelope> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw abortError();
      const id = (envelope.id = nextId());
      const abort = (): void => request.settle_(abortError());
      const request: Request = {
        envelope_: envelope,
        bytes_: this.port_.sizeOf_(envelope),
        sent_: 0,
        started_: 0,
        unsure_: 0,
        settle_: (error, answer) => {
          this.requests_.delete(id);
          clearTimeout(request.timer_);
          signal?.removeEventListener("abort", abort);
          if (error) reject(error);
          else resolve(answer as Envelope);
        },
      };
      if (!this.port_.isOpen_()) this.checkRoom_(request);
      this.requests_.set(id, request);
      signal?.addEventListener("abort", abort);
      this.send_(request);
    });
  }

  /** There is a connection: sends what waits, in its order. */
  flush_(): void {
    for (const request of [...this.requests_.values()]) if (!request.sent_) this.send_(request);
  }

  /** The broker answered. Says whether anybody had asked. */
  answer_(envelope: Envelope): boolean {
    const request = this.requests_.get(envelope.id);
    if (!request?.sent_) return false;
    if (envelope.op === "ok")
      request.settle_(null, { ...envelope, elapsed: performance.now() - request.started_ });
    else this.refuse_(request, envelope);
    return true;
  }

  /** The connection broke. */
  break_(): void {
    for (const request of [...this.requests_.values()]) {
      clearTimeout(request.timer_);
      request.timer_ = undefined;
      if (!request.sent_) continue;
      request.unsure_ ||= request.sent_;
      request.sent_ = 0;
      this.endLost_(request);
    }
  }

  end_(error: Error): void {
    for (const request of [...this.requests_.values()]) request.settle_(error);
  }

  private checkRoom_(request: Request): void {
    let messages = 1;
    let bytes = request.bytes_;
    for (const other of this.requests_.values()) {
      messages++;
      bytes += other.bytes_;
    }
    if (messages > this.maxMessages_ || bytes > this.maxBytes_) throw new QueueFullError();
  }

  private send_(request: Request): void {
    if (!this.port_.isOpen_()) return;
    const limit = this.port_.limits_().message;
    if (request.bytes_ > limit)
      request.settle_(
        new FantailError(413, `${request.bytes_} bytes are more than the ${limit} of a message`),
      );
    else if (!request.timer_ && !this.endLost_(request)) {
      request.started_ = performance.now();
      if (this.port_.send_(request.envelope_)) request.sent_ = Date.now();
    }
  }

  /** Gives up what may have been accepted and may not be sent again. */
  private endLost_({ envelope_: envelope, unsure_: unsure, settle_: settle }: Request): boolean {
    const isLost =
      unsure > 0 && envelope.op === "pub" && !(envelope.key && Date.now() - unsure < KEY_MS);
    if (isLost) settle(new ConnectionLostError());
    return isLost;
  }

  private refuse_(request: Request, { code, message, retry }: Envelope): void {
    const isUnknown = code === 504;
    if (isUnknown) request.unsure_ ||= request.sent_;
    if (request.envelope_.key && retry !== undefined && (isUnknown || code === 503)) {
      request.sent_ = 0;
      request.timer_ = setTimeout(() => {
        request.timer_ = undefined;
        this.send_(request);
      }, Number(retry));
    } else if (request.unsure_ && (isUnknown || code === 503)) {
      request.settle_(new ConnectionLostError(String(message)));
    } else {
      request.settle_(errorOf({ op: "error", code, message, retry }));
    }
  }
}

/** The error that an `error` envelope tells. */
export const errorOf = ({ code, message, retry }: Envelope): FantailError =>
  new FantailError(
    typeof code === "number" ? code : 500,
    String(message ?? "refused"),
    typeof retry === "number" ? retry : undefined,
  );
