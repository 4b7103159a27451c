/**
 * When event streams are used: WebSockets have failed, so both are tried at once, and the stream wins where it gets
 * through and the WebSocket does not. After a while, or when the network is another one, a WebSocket is tried beside
 * it, and only once that was welcome is the stream given up.
 */
import { openEvents } from "./events-transport.js";
import type { Ending, Envelope, OpenOptions, OpenTransport, Transport, TransportHandlers } from "./transport.js";

export { openEvents };

export interface FallBackTimes {
  /** How long a WebSocket may take when HTTP is through already, ms. */
  patience?: number;
  /** After how long WebSockets are tried again, ms, more or less a fifth. */
  again?: number;
}

const nothing = (): void => undefined;

/** Says now and then whether WebSockets get through, while an event stream is in use. */
function watchFor(open: OpenTransport, options: OpenOptions, times: Required<FallBackTimes>, found: () => void) {
  let trial: Transport | undefined;
  let timer: ReturnType<typeof setTimeout>;
  const wait = (): void => {
    clearTimeout(timer);
    timer = setTimeout(look, times.again * (0.8 + 0.4 * Math.random()));
  };
  const finish = (): void => {
    trial?.close();
    trial = undefined;
    wait();
  };
  const look = (): void => {
    if (trial) return;
    clearTimeout(timer);
    timer = setTimeout(finish, 2 * times.patience);
    let isOver = false;
    trial = open(options, {
      onEnvelope() {
        if (isOver) return;
        isOver = true;
        finish();
        found();
      },
      onEnd() {
        if (isOver) return;
        isOver = true;
        finish();
      },
    });
  };
  wait();
  globalThis.addEventListener?.("online", look);
  return () => {
    globalThis.removeEventListener?.("online", look);
    finish();
    clearTimeout(timer);
  };
}

/** An event stream that gives way to a WebSocket. */
function openUntil(
  open: OpenTransport,
  given: OpenOptions,
  times: Required<FallBackTimes>,
  handlers: TransportHandlers,
  found: () => void,
): Transport {
  const options = { ...given };
  let stop = nothing;
  let isOver = false;
  const end = (ending: Ending): void => {
    if (isOver) return;
    isOver = true;
    stop();
    handlers.onEnd(ending);
  };
  const events = openEvents(options, {
    onEnvelope(envelope) {
      if (!isOver) handlers.onEnvelope(envelope);
    },
    onEnd: end,
  });
  stop = watchFor(open, options, times, () => {
    found();
    events.close();
    end({ code: 1012, reason: "WebSockets get through again", retry: 0 });
  });
  return {
    send(envelope) {
      if (envelope.op === "auth") options.token = String(envelope.token);
      return events.send(envelope);
    },
    close: events.close.bind(events),
  };
}

/** One attempt that may become either. */
class Race implements Transport {
  private readonly socket: Transport;
  private readonly events: Transport;
  private winner: Transport | undefined;
  private welcome: Envelope | undefined;
  private socketEnd: Ending | undefined;
  private eventsEnd: Ending | undefined;
  private isLate = false;
  private isOver = false;
  private readonly timer: ReturnType<typeof setTimeout>;

  constructor(
    open: OpenTransport,
    openStream: (handlers: TransportHandlers) => Transport,
    options: OpenOptions,
    patience: number,
    private readonly handlers: TransportHandlers,
    private readonly onEvents: () => void,
  ) {
    this.timer = setTimeout(() => {
      this.isLate = true;
      this.decide();
    }, patience);
    this.events = openStream({
      onEnvelope: (envelope) => {
        if (this.winner === this.events) this.pass(envelope);
        else if (!this.winner) {
          this.welcome = envelope;
          this.decide();
        }
      },
      onEnd: (ending) => {
        this.eventsEnd = ending;
        this.ended(this.events, ending);
      },
    });
    this.socket = open(options, {
      onEnvelope: (envelope) => {
        if (!this.winner) {
          this.win(this.socket);
          this.events.close();
        }
        if (this.winner === this.socket) this.pass(envelope);
      },
      onEnd: (ending) => {
        this.socketEnd = ending;
        this.ended(this.socket, ending);
      },
    });
  }

  send(envelope: Envelope): boolean {
    return !!this.winner && this.winner.send(envelope);
  }

  close(code?: number, reason?: string): void {
    clearTimeout(this.timer);
    if (this.winner) this.winner.close(code, reason);
    else {
      this.events.close();
      this.socket.close(code, reason);
      queueMicrotask(() => this.end({ code: code ?? 1000, reason: reason ?? "" }));
    }
  }

  private pass(envelope: Envelope): void {
    if (!this.isOver) this.handlers.onEnvelope(envelope);
  }

  private end(ending: Ending): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.timer);
    this.handlers.onEnd(ending);
  }

  private win(winner: Transport): void {
    this.winner = winner;
    clearTimeout(this.timer);
  }

  private ended(which: Transport, ending: Ending): void {
    if (this.winner ? this.winner === which : which === this.socket && ending.status) this.end(ending);
    else this.decide();
  }

  private decide(): void {
    if (this.winner || this.isOver) return;
    if (this.welcome && !this.eventsEnd && (this.socketEnd || this.isLate)) {
      this.win(this.events);
      this.socket.close();
      this.onEvents();
      this.pass(this.welcome);
    } else if (this.socketEnd && this.eventsEnd) {
      /* A browser does not say why there is no WebSocket; HTTP may. That there is no such path says nothing. */
      const { status } = this.eventsEnd;
      this.end(status && status !== 404 && status !== 405 ? this.eventsEnd : this.socketEnd);
    }
  }
}

/** Returns what opens a WebSocket where these get through, and else an event stream. */
export function fallBack(
  open: OpenTransport,
  { patience = 3000, again = 300_000 }: FallBackTimes = {},
): OpenTransport {
  const times = { patience, again };
  let isBlocked = false;
  return (options, handlers) => {
    const openStream = (to: TransportHandlers): Transport =>
      openUntil(open, options, times, to, () => (isBlocked = false));
    if (!isBlocked) {
      return new Race(open, openStream, options, patience, handlers, () => (isBlocked = true));
    }
    let isWelcome = false;
    return openStream({
      onEnvelope(envelope) {
        isWelcome = true;
        handlers.onEnvelope(envelope);
      },
      onEnd(ending) {
        if (!isWelcome) isBlocked = false; /* it is not the WebSockets, then: both are tried again */
        handlers.onEnd(ending);
      },
    });
  };
}
