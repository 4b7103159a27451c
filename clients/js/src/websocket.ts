/**
 * The transport over a WebSocket: the browser's, Node's, or that of the package `ws`, which is
 * loaded where there is none. Knows of envelopes only how they are encoded.
 */
import type { Envelope, OpenTransport } from "./transport.js";

/** `readyState` of a socket that takes messages. */
const OPEN = 1;

/** Where Node has no WebSocket of its own, the package `ws` has one. Bundlers for browsers, which
 * all have theirs, must not look for it: so its name comes as an argument. */
async function load(name: string): Promise<typeof WebSocket> {
  const { WebSocket } = await import(/* webpackIgnore: true */ /* @vite-ignore */ name);
  return WebSocket;
}

export const openWebSocket: OpenTransport = ({ url, token, codec, WebSocket: given }, handlers) => {
  let socket: WebSocket | undefined;
  let isOver = false;
  let status: number | undefined;
  const end = (code: number, reason: string): void => {
    if (isOver) return;
    isOver = true;
    handlers.onEnd(status ? { code, reason, status } : { code, reason });
  };
  const close = (code = 1000, reason = ""): void => {
    socket?.close(code, reason);
    if (!socket) end(1006, reason);
  };
  const receive = (message: string | ArrayBuffer): void => {
    let envelopes: object[] = [];
    try {
      envelopes = codec.decode(message);
      for (const envelope of envelopes)
        if (typeof (envelope as Envelope | null)?.op !== "string")
          throw new TypeError("no envelope");
    } catch (error) {
      socket?.close(4400);
      end(1007, `the broker sent what cannot be read: ${String(error)}`);
    }
    for (const envelope of envelopes) if (!isOver) handlers.onEnvelope(envelope as Envelope);
  };
  const start = (Socket: typeof WebSocket): void => {
    if (isOver) return;
    socket = new Socket(
      url,
      token ? [codec.subprotocol, "fantail.bearer." + token] : [codec.subprotocol],
    );
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => receive(data);
    socket.onerror = (event) => {
      /* Browsers do not say what went wrong; `ws` does. */
      const found = /response: (\d+)/.exec((event as ErrorEvent).message ?? "");
      if (found) status = Number(found[1]);
    };
    socket.onclose = ({ code, reason }) => end(code, reason);
  };
  const fail = (error: unknown): void => end(1006, String(error));
  const global = (given ?? globalThis.WebSocket) as typeof WebSocket | undefined;
  Promise.resolve(global ?? load("ws"))
    .then(start)
    .catch(fail);
  return {
    send(envelope) {
      if (isOver || socket?.readyState !== OPEN) return false;
      socket.send(codec.encode(envelope) as string);
      return true;
    },
    close,
  };
};
