/** The transport of a tab that shares a connection: envelopes over a port to the hub. */
import { type Hello, type TabPort, whenGone } from "./port.js";
import type { Ending, Transport, TransportHandlers } from "./transport.js";

const LOST: Ending = { code: 1006, reason: "whoever held the connection for all tabs has gone", retry: 0 };

/** `onHub` is called once the hub has answered. */
export function openPort(
  port: TabPort,
  hello: Hello,
  handlers: TransportHandlers,
  onHub: () => void = () => undefined,
): Transport & { lost(ending?: Ending): void } {
  let isOver = false;
  let stopWatching = (): void => undefined;
  const end = (ending: Ending, isSaid: boolean): void => {
    if (isOver) return;
    isOver = true;
    stopWatching();
    globalThis.removeEventListener?.("pagehide", leave);
    if (!isSaid) port.post({ type: "close" });
    port.close();
    handlers.onEnd(ending);
  };
  /* A page that comes back from the browser's cache of pages goes on with a new connection. */
  const leave = (): void => end({ code: 1001, reason: "the page was left" }, false);
  const lost = (ending = LOST): void => end(ending, false);
  port.onmessage = (message) => {
    if (isOver) return;
    if (message.type === "envelopes") {
      for (const envelope of message.envelopes) if (!isOver) handlers.onEnvelope(envelope);
      if (!isOver) port.post({ type: "taken" });
    } else if (message.type === "end") end(message.ending, true);
    else {
      stopWatching();
      stopWatching = whenGone(message.lock, () => lost());
      onHub();
    }
  };
  globalThis.addEventListener?.("pagehide", leave);
  port.post({ type: "open", hello });
  return {
    send(envelope) {
      if (isOver) return false;
      port.post({ type: "send", envelope });
      return true;
    },
    close: (code = 1000, reason = "") => queueMicrotask(() => end({ code, reason }, false)),
    lost,
  };
}
