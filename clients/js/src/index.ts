/** The package `fantail`: a client of the Fantail broker for browsers and Node. */
import { FantailClient } from "./client.js";
import { FantailError } from "./errors.js";
import type { Client, ConnectOptions } from "./types.js";

/** Makes a client, which begins to connect at once and keeps connected until close(). The URL is
 * that of the broker's WebSocket, ws: or wss: (http: and https: are taken for these); in a page it
 * may be relative. Without a path it is /ws. */
export function connect(url: string | URL, options: ConnectOptions = {}): Client {
  const full = new URL(url, globalThis.location?.href);
  full.protocol = full.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(full.protocol))
    throw new FantailError(400, `${full.href} is no URL of a broker, such as wss://example.org/ws`);
  if (full.pathname === "/") full.pathname = "/ws";
  full.hash = "";
  return new FantailClient(full, options);
}

export {
  BufferOverflowError,
  ClosedError,
  ConnectionLostError,
  FantailError,
  QueueFullError,
} from "./errors.js";
export type * from "./types.js";
