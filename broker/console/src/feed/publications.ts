/**
 * What was published from this tab, to be looked at and repeated; kept until the tab is closed. And
 * what another page wants to have published next.
 */
import { signal } from "@preact/signals";
import { EMPTY_DRAFT, type Draft } from "../model/draft.js";
import { toHex } from "../model/hex.js";

export interface Outcome {
  draft: Draft;
  at: number;
  /** Absent while there is no answer. */
  ok?: boolean;
  /** The position, or what the broker said. */
  text?: string;
  pos?: string;
}

const STORED = "fantail.published";
const KEPT = 20;
/** Characters of what sessionStorage gets; the rest is kept by the page alone. */
const STORED_LENGTH = 200_000;

function load(): Outcome[] {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
    return Array.isArray(stored) ? (stored as Outcome[]) : [];
  } catch {
    return [];
  }
}

export const outcomes = signal<readonly Outcome[]>(load());

/** Adds one, newest first, or replaces the one with the same time. */
export function keep(outcome: Outcome): void {
  const others = outcomes.value.filter((each) => each.at !== outcome.at);
  const next = [...others, outcome].sort((a, b) => b.at - a.at).slice(0, KEPT);
  outcomes.value = next;
  const small = next.filter((each) => each.ok !== undefined);
  while (JSON.stringify(small).length > STORED_LENGTH) small.pop();
  sessionStorage.setItem(STORED, JSON.stringify(small));
}

export function forgetAll(): void {
  outcomes.value = [];
  sessionStorage.removeItem(STORED);
}

let later: Draft | null = null;

/** The Publish page takes this when it opens. */
export function repeatLater(message: { topic: string; data: unknown }): void {
  const bytes = message.data instanceof Uint8Array;
  const text = bytes
    ? toHex(message.data as Uint8Array, " ")
    : JSON.stringify(message.data, null, 2);
  later = { ...EMPTY_DRAFT, topic: message.topic, form: bytes ? "hex" : "json", text };
}

export function takeLater(topic: string): Draft | null {
  const taken = later?.topic === topic ? later : null;
  later = null;
  return taken;
}
