/**
 * A transport is one connection that carries envelopes and knows nothing of what they mean. To the client
 * all are alike: a WebSocket, the broker's HTTP side (events.ts), a port to the tab that holds the
 * connection (shared.ts). Where a transport has to imitate the broker it does so in envelopes, too, so
 * that subscriptions, positions, resuming and publishing are written once, in the client.
 */
import type { Codec } from "./types.js";

/** An envelope of either side, SPEC section 3. */
export interface Envelope {
  op: string;
  id?: number | string;
  [key: string]: unknown;
}

/** Why a connection ended, or why there was none. */
export interface Ending {
  /** WebSocket close code; 1006 where there was none. */
  code: number;
  reason: string;
  /** HTTP status of a refusal, where it can be known (not from a browser's WebSocket). */
  status?: number;
  /** ms to wait at least, where the broker said so. */
  retry?: number;
}

/** What a transport tells. After `onEnd`, which comes exactly once, nothing more. */
export interface TransportHandlers {
  /** The first one is `welcome`. */
  onEnvelope(envelope: Envelope): void;
  onEnd(ending: Ending): void;
}

export interface Transport {
  /** False when it is not taken: the connection is ending, and `onEnd` will say so. */
  send(envelope: Envelope): boolean;
  /** Ends it; `onEnd` follows, unless it has come. */
  close(code?: number, reason?: string): void;
}

export interface OpenOptions {
  /** Absolute, ws: or wss:, as the user gave it to connect(). */
  url: URL;
  token: string | null;
  codec: Codec;
  WebSocket?: unknown;
}

export type OpenTransport = (options: OpenOptions, handlers: TransportHandlers) => Transport;
