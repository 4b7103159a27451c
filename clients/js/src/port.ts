/**
 * What tabs and the holder of their connection say to each other, and the ways that it takes: a MessagePort, or
 * one BroadcastChannel for all, on which each tab has a lane.
 */
import type { Ending, Envelope } from "./transport.js";
import type { ConnectOptions } from "./types.js";

/** Whom a tab shares with: another version of these messages is another hub. */
export const HUB_VERSION = 1;

/** The connection that a tab wants to share. */
export interface Hello {
  url: string;
  token: string | null;
  /** The subprotocol of the codec. */
  codec: string;
  transports: ConnectOptions["transports"];
  /** The name of a lock that the tab holds as long as it lives. */
  lock: string | undefined;
}

export type FromTab =
  | { type: "open"; hello: Hello }
  | { type: "send"; envelope: Envelope }
  /** The last `envelopes` are dealt with; only then do the next ones come. */
  | { type: "taken" }
  | { type: "close" };

export type FromHub =
  /** It is there. The lock is the one that it holds as long as it lives. */
  | { type: "hub"; lock: string | undefined }
  | { type: "envelopes"; envelopes: Envelope[] }
  | { type: "end"; ending: Ending };

/** One end of a way between a tab and the hub. */
export interface Port<In, Out> {
  onmessage: (message: In) => void;
  post(message: Out): void;
  close(): void;
}

export type TabPort = Port<FromHub, FromTab>;
export type HubPort = Port<FromTab, FromHub>;

export function portOf<In, Out>(inner: MessagePort): Port<In, Out> {
  const port: Port<In, Out> = {
    onmessage: () => undefined,
    post: (message) => inner.postMessage(message),
    close: () => {
      inner.onmessage = null;
      inner.close();
    },
  };
  inner.onmessage = ({ data }) => port.onmessage(data as In);
  return port;
}

/** Has `onLoss` called when whoever holds the lock has died. Returns what ends the waiting. */
export function whenGone(lock: string | undefined, onLoss: () => void): () => void {
  const abort = new AbortController();
  if (lock) {
    navigator.locks
      ?.request(lock, { signal: abort.signal }, () => onLoss())
      .catch(() => undefined); /* aborted */
  }
  return () => abort.abort();
}

/** Takes a lock of a new name for as long as this context lives; undefined where there are none. */
export function holdLock(): Promise<string | undefined> {
  const name = `fantail-${randomName()}`;
  if (!globalThis.navigator?.locks) return Promise.resolve(undefined);
  return new Promise((held) => {
    navigator.locks
      .request(name, () => {
        held(name);
        return new Promise(() => undefined);
      })
      .catch(() => held(undefined));
  });
}

export const randomName = (): string => Math.random().toString(36).slice(2) + Date.now().toString(36);
