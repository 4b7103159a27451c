/**
 * `shared: true`, as a tab sees it: one connection for all tabs, held by a SharedWorker, or by one of the tabs where
 * there is none. Where neither is possible the tab has a connection of its own.
 */
import { type Hello, HUB_VERSION, holdLock, portOf } from "./port.js";
import { Election } from "./shared-locks.js";
import { openPort } from "./shared-port.js";
import type { OpenOptions, OpenTransport, Transport, TransportHandlers } from "./transport.js";
import type { ConnectOptions } from "./types.js";
import { chooseWay } from "./ways.js";

type Options = Pick<ConnectOptions, "shared" | "transports">;
type Open = (hello: Hello, options: OpenOptions, handlers: TransportHandlers) => Transport;

/** One of each for a page, whatever number of clients it has. */
let lock: Promise<string | undefined> | undefined;
const elections = new Map<string, Election>();

function startWorker(name: string, workerUrl: string | URL | undefined): SharedWorker {
  const options = { name: `fantail/${HUB_VERSION} ${name}` };
  /* Bundlers look for exactly this. */
  if (!workerUrl) return new SharedWorker(new URL("./shared-worker.js", import.meta.url), options);
  return new SharedWorker(workerUrl, options);
}

/** Opens by a SharedWorker; calls `onFailure` where its script does not load. */
function openWorker(
  name: string,
  workerUrl: string | URL | undefined,
  hello: Hello,
  handlers: TransportHandlers,
  onFailure: () => void,
): Transport {
  const worker = startWorker(name, workerUrl);
  const transport = openPort(portOf(worker.port), hello, handlers);
  worker.onerror = () => {
    onFailure();
    transport.lost({ code: 1006, reason: "the script of the SharedWorker cannot be loaded", retry: 0 });
  };
  return transport;
}

function openElected(name: string): Open | undefined {
  if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) return undefined;
  return (hello, { codec }, handlers) => {
    let election = elections.get(name);
    if (!election) {
      election = new Election(name, ({ transports }) => chooseWay(transports));
      elections.set(name, election);
    }
    return election.open(hello, codec, handlers);
  };
}

/** The ways to share that there are here, the best one first. */
function waysOf(options: Options): Open[] {
  const { name = "", workerUrl } = typeof options.shared === "object" ? options.shared : {};
  const ways: Open[] = [];
  if (globalThis.SharedWorker) {
    ways.push((hello, _, handlers) => openWorker(name, workerUrl, hello, handlers, () => ways.shift()));
  }
  const elected = openElected(name);
  if (elected) ways.push(elected);
  const alone = chooseWay(options.transports);
  ways.push((_, opening, handlers) => alone(opening, handlers));
  return ways;
}

/** Returns what opens each connection of a client that shares. */
export function share(options: Options): OpenTransport {
  const ways = waysOf(options);
  return (opening, handlers) => {
    let inner: Transport | undefined;
    let isOver = false;
    const start = (name: string | undefined): void => {
      if (isOver) return;
      const { url, token, codec } = opening;
      const { transports } = options;
      const hello: Hello = { url: url.href, token, codec: codec.subprotocol, transports, lock: name };
      try {
        inner = (ways[0] as Open)(hello, opening, handlers);
      } catch (error) {
        if (ways.length > 1) ways.shift(); /* a worker from another origin, a policy of the page's */
        isOver = true;
        handlers.onEnd({ code: 1006, reason: String(error), retry: 0 });
      }
    };
    void (lock ??= holdLock()).then(start);
    return {
      send: (envelope) => !!inner && inner.send(envelope),
      close(code = 1000, reason = "") {
        if (inner) inner.close(code, reason);
        else if (!isOver) {
          isOver = true;
          queueMicrotask(() => handlers.onEnd({ code, reason }));
        }
      },
    };
  };
}
