/** The codec that is built in: JSON in text messages, bytes as base64 in `b64` (SPEC section 3). */
import type { Codec, Message } from "./types.js";

export const toBytes = (b64: string): Uint8Array =>
  Uint8Array.from(atob(b64), (char) => char.charCodeAt(0));

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export const json: Codec = {
  subprotocol: "fantail.v1.json",
  encode(envelope) {
    const { data, ...rest } = envelope as { data?: unknown };
    return JSON.stringify(data instanceof Uint8Array ? { ...rest, b64: toBase64(data) } : envelope);
  },
  decode(message) {
    if (typeof message !== "string") throw new TypeError("bytes on a JSON connection");
    const envelope: unknown = JSON.parse(message);
    return Array.isArray(envelope) ? envelope : [envelope as object];
  },
};

/** A publication as its subscribers see it. */
export function toMessage({
  topic,
  data,
  b64,
  pos,
  at,
  retained,
}: Record<string, unknown>): Message {
  const message: Message = {
    topic: topic as string,
    data: typeof b64 === "string" ? toBytes(b64) : data,
  };
  if (pos !== undefined) message.pos = pos as string;
  if (at !== undefined) message.at = Number(at);
  if (retained) message.retained = true;
  return message;
}
