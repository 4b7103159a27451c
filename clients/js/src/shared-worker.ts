/** The script of the SharedWorker that holds one connection for all tabs of an origin. */
import { Hubs } from "./hub.js";
import { json } from "./json.js";
import { holdLock, portOf } from "./port.js";
import type { Codec } from "./types.js";
import { chooseWay } from "./ways.js";

async function codecOf(subprotocol: string): Promise<Codec> {
  if (subprotocol === json.subprotocol) return json;
  const { msgpack } = await import("./msgpack.js");
  if (subprotocol === msgpack.subprotocol) return msgpack;
  throw new Error(`the shared connection does not know ${subprotocol}`);
}

/* Without a lock (a page that is not secure has none) tabs cannot see this worker die, which it hardly does. */
const starting = holdLock().then(
  (lock) => new Hubs(({ transports }) => chooseWay(transports), codecOf, lock),
);

globalThis.addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port) void starting.then((hubs) => hubs.accept(portOf(port)));
});
