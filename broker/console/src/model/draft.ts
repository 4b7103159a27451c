/**
 * What is to be published, as it stands in the form, and what it comes to: options and a value, or
 * errors.
 */
import { parseHex } from "./hex.js";
import { checkJson, type JsonError } from "./json_check.js";
import { topicError } from "./levels.js";

/** Data stays as it was typed. */
export interface Draft {
  topic: string;
  form: "json" | "text" | "hex";
  text: string;
  retain: boolean;
  /** Seconds, as typed; empty: for as long as the topic's policy says. */
  ttl: string;
  key: string;
}

export const EMPTY_DRAFT: Draft = {
  topic: "",
  form: "json",
  text: "",
  retain: false,
  ttl: "",
  key: "",
};

export interface DraftErrors {
  topic?: string;
  data?: string;
  ttl?: string;
  key?: string;
}

export interface Publication {
  topic: string;
  data: unknown;
  retain?: boolean;
  ttl?: number;
  key?: string;
}

export interface ReadData {
  data?: unknown;
  error?: string;
  /** Where in the text, for JSON. */
  place?: JsonError;
  warning?: string;
}

const KEY_BYTES = 128;

/** What the text stands for. */
export function readData(form: Draft["form"], text: string): ReadData {
  if (form === "text") {
    return /\p{Cs}/u.test(text) ? { error: "half of a surrogate pair" } : { data: text };
  }
  if (form === "hex") {
    const parsed = parseHex(text);
    return "bytes" in parsed ? { data: parsed.bytes } : { error: parsed.error };
  }
  const checked = checkJson(text);
  if (checked.error) {
    const { line, column, message } = checked.error;
    return { error: `Line ${line}, column ${column}: ${message}`, place: checked.error };
  }
  return { data: checked.value, ...(checked.warning ? { warning: checked.warning } : {}) };
}

/** The publication, or what is wrong, by field. */
export function readDraft(draft: Draft): { publication: Publication } | { errors: DraftErrors } {
  const errors: DraftErrors = {};
  const topic = topicError(draft.topic);
  if (topic) errors.topic = topic;
  const read = readData(draft.form, draft.text);
  if (read.error !== undefined) errors.data = read.error;
  if (draft.ttl !== "" && !isSeconds(draft.ttl)) errors.ttl = "whole seconds, from 1 on";
  const size = byteLength(draft.key);
  if (size > KEY_BYTES) errors.key = `a key has at most ${KEY_BYTES} bytes; this one has ${size}`;
  if (Object.keys(errors).length > 0) return { errors };
  return {
    publication: {
      topic: draft.topic,
      data: read.data,
      ...(draft.retain ? { retain: true } : {}),
      ...(draft.ttl === "" ? {} : { ttl: Number(draft.ttl) }),
      ...(draft.key === "" ? {} : { key: draft.key }),
    },
  };
}

function isSeconds(text: string): boolean {
  return /^[0-9]{1,16}$/.test(text) && Number(text) >= 1 && Number.isSafeInteger(Number(text));
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Bytes of the data as the broker counts them, for JSON as it will be sent. */
export function dataBytes(data: unknown): number {
  if (data instanceof Uint8Array) return data.length;
  return byteLength(JSON.stringify(data) ?? "");
}
