/**
 * Which way to the broker: what is not always needed is loaded when it is. After two attempts in a row that came
 * to nothing, without an HTTP status that would say why, it is the next one's turn. Where that is events.ts it
 * looks itself whether WebSockets get through again.
 */
import type { Ending, OpenTransport, Transport } from "./transport.js";
import type { ConnectOptions } from "./types.js";
import { openWebSocket } from "./websocket.js";

/** Attempts in a row that make another way worth one. */
const FAILURES = 2;

/** Opens a transport whose code has yet to be loaded. Until then it takes nothing. */
export function later(load: () => Promise<OpenTransport>): OpenTransport {
  let loading: Promise<OpenTransport> | undefined;
  return (options, handlers) => {
    let inner: Transport | undefined;
    let isOver = false;
    const end = (ending: Ending): void => {
      if (!isOver) handlers.onEnd(ending);
      isOver = true;
    };
    (loading ??= load()).then(
      (open) => {
        if (!isOver) inner = open(options, handlers);
      },
      (error) => {
        loading = undefined;
        end({ code: 1006, reason: String(error) });
      },
    );
    return {
      send: (envelope) => !!inner && inner.send(envelope),
      close: (code = 1000, reason = "") =>
        inner ? inner.close(code, reason) : queueMicrotask(() => end({ code, reason })),
    };
  };
}

/** Returns what opens connections in one of these ways, the first one as long as it works. */
export function chooseWay(names: ConnectOptions["transports"] = ["websocket", "events"]): OpenTransport {
  const ways = names.map((name, i) =>
    name === "websocket"
      ? openWebSocket
      : later(() => import("./events.js").then((m) => (i > 0 ? m.fallBack(openWebSocket) : m.openEvents))),
  );
  let way = 0;
  let failures = 0;
  return (options, handlers) => {
    let isWelcome = false;
    return (ways[way % ways.length] as OpenTransport)(options, {
      onEnvelope(envelope) {
        isWelcome = true;
        handlers.onEnvelope(envelope);
      },
      onEnd(ending) {
        failures = isWelcome || ending.status ? 0 : failures + 1;
        if (failures === FAILURES) {
          failures = 0;
          way++;
        }
        handlers.onEnd(ending);
      },
    });
  };
}
