/**
 * What was asked and has no answer yet: publications, histories, who is present, pings. Each settles exactly
 * once. What waits for a connection is bounded; what a break has cut off is sent again where that does no
 * harm, that is, all but a publication without a `key`.
 */
import { abortError, ConnectionLostError, FantailError, QueueFullError } from "./errors.js";
import type { Envelope } from "./transport.js";

/** For how long a key is trusted: the broker remembers it for 120 s from when it took it. */
const KEY_MS = 100_000;

interface Request {
  envelope: Envelope;
  bytes: number;
  /** When it was last sent on this connection; 0: it waits to be. */
  sent: number;
  /** The same, by a clock that measures. */
  started: number;
  /** When it was first sent without learning what became of it. */
  unsure: number;
  timer?: ReturnType<typeof setTimeout> | undefined;
  settle(error: Error | null, answer?: Envelope): void;
}

export interface Sender {
  /** False: there is no connection that takes it now. */
  send(envelope: Envelope): boolean;
  isOpen(): boolean;
  /** Bytes of a message that the broker takes; undefined before the first welcome. */
  limit(): number | undefined;
  sizeOf(envelope: Envelope): number;
  nextId(): number;
}

export class Publisher {
  private readonly requests = new Map<unknown, Request>();

  constructor(
    private readonly sender: Sender,
    private readonly maxMessages = 1000,
    private readonly maxBytes = 1 << 20,
  ) {}

  ask(envelope: Envelope, signal?: AbortSignal): Promise<Envelope> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw abortError();
      const id = (envelope.id = this.sender.nextId());
      const abort = (): void => request.settle(abortError());
      const request: Request = {
        envelope,
        bytes: this.sender.sizeOf(envelope),
        sent: 0,
        started: 0,
        unsure: 0,
        settle: (error, answer) => {
          this.requests.delete(id);
          clearTimeout(request.timer);
          signal?.removeEventListener("abort", abort);
          if (error) reject(error);
          else resolve(answer as Envelope);
        },
      };
      if (!this.sender.isOpen()) this.checkRoom(request);
      this.requests.set(id, request);
      signal?.addEventListener("abort", abort);
      this.send(request);
    });
  }

  /** There is a connection: sends what waits, in its order. */
  flush(): void {
    for (const request of [...this.requests.values()]) if (!request.sent) this.send(request);
  }

  /** The broker answered. Says whether anybody had asked. */
  answer(envelope: Envelope): boolean {
    const request = this.requests.get(envelope.id);
    if (!request?.sent) return false;
    if (envelope.op === "ok")
      request.settle(null, { ...envelope, elapsed: performance.now() - request.started });
    else this.refuse(request, envelope);
    return true;
  }

  /** The connection broke. */
  break(): void {
    for (const request of [...this.requests.values()]) {
      clearTimeout(request.timer);
      request.timer = undefined;
      if (!request.sent) continue;
      request.unsure ||= request.sent;
      request.sent = 0;
      this.endLost(request);
    }
  }

  end(error: Error): void {
    for (const request of [...this.requests.values()]) request.settle(error);
  }

  private checkRoom(request: Request): void {
    let messages = 1;
    let bytes = request.bytes;
    for (const other of this.requests.values()) {
      messages++;
      bytes += other.bytes;
    }
    if (messages > this.maxMessages || bytes > this.maxBytes) throw new QueueFullError();
  }

  private send(request: Request): void {
    const limit = this.sender.limit();
    if (limit && request.bytes > limit)
      request.settle(
        new FantailError(413, `the message has ${request.bytes} bytes, but the broker takes ${limit}`),
      );
    else if (!request.timer && !this.endLost(request)) {
      request.started = performance.now();
      if (this.sender.send(request.envelope)) request.sent = Date.now();
    }
  }

  /** Gives up what may have been accepted and may not be sent again. */
  private endLost({ envelope, unsure, settle }: Request): boolean {
    const isLost =
      unsure > 0 && envelope.op === "pub" && !(envelope.key && Date.now() - unsure < KEY_MS);
    if (isLost) settle(new ConnectionLostError());
    return isLost;
  }

  private refuse(request: Request, { code, message, retry }: Envelope): void {
    const isUnknown = code === 504;
    if (isUnknown) request.unsure ||= request.sent;
    if (request.envelope.key && retry !== undefined && (isUnknown || code === 503)) {
      request.sent = 0;
      request.timer = setTimeout(() => {
        request.timer = undefined;
        if (this.sender.isOpen()) this.send(request);
      }, Number(retry));
    } else if (request.unsure && (isUnknown || code === 503)) {
      request.settle(new ConnectionLostError(String(message)));
    } else {
      request.settle(errorOf({ op: "error", code, message, retry }));
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
