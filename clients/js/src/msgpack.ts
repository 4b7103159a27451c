/**
 * The codec `fantail/msgpack`, on @msgpack/msgpack: binary messages, bytes as they are, and
 * integers of 64 bits whole, as bigint where a number does not hold them.
 */
import { Decoder, Encoder } from "@msgpack/msgpack";
import type { Codec } from "./types.js";

/** The library refuses a key that could become an object's prototype, and with it the whole
 * message. Whoever may publish could end everybody's connection so: here the key comes under
 * another name. */
const PROTO = "__proto__";
const text = new TextDecoder();
const keyDecoder = {
  canBeCached: (length: number): boolean => length === PROTO.length,
  decode: (bytes: Uint8Array, at: number, length: number): string => {
    const key = text.decode(bytes.subarray(at, at + length));
    return key === PROTO ? PROTO + " " : key;
  },
};

const encoder = new Encoder({ useBigInt64: true, ignoreUndefined: true });
const decoder = new Decoder({ useBigInt64: true, keyDecoder });

/** Copies a value so that the library sends it as JSON would: whole numbers above 32 bits as
 * integers, not as floats, and a Date as text. */
function widen(value: unknown): unknown {
  if (typeof value === "number")
    return Number.isSafeInteger(value) && (value > 0xffffffff || value < -0x80000000)
      ? BigInt(value)
      : value;
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(widen);
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return widen(toJSON.call(value));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, widen(item)]));
}

/** Makes numbers of the integers of 64 bits that are small enough. */
function narrow(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  const items = value as Record<string, unknown>;
  for (const key of Object.keys(items)) items[key] = narrow(items[key]);
  return value;
}

export const msgpack: Codec = {
  subprotocol: "fantail.v1.msgpack",
  encode: (envelope) => encoder.encode(widen(envelope)),
  decode(message) {
    if (typeof message === "string") throw new TypeError("text on a MessagePack connection");
    const envelope = narrow(decoder.decode(new Uint8Array(message)));
    return Array.isArray(envelope) ? envelope : [envelope as object];
  },
};
