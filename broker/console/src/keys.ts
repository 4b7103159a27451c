/**
 * Keys of the console: single ones and sequences such as `g o`. They work wherever nothing is being
 * typed, can be switched off as a whole (who dictates would trigger them), and the help dialog
 * lists those in force.
 */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Key {
  /** One `KeyboardEvent.key`, or two with a space between. */
  keys: string;
  /** What it does, as the help dialog says it. */
  text: string;
  run: () => void;
}

const STORED = "fantail.keys";
const SEQUENCE_MS = 1500;

export const keysOn = signal(localStorage.getItem(STORED) !== "off");
/** All that are in force, those of the page last. */
export const keys = signal<readonly Key[]>([]);

let first = "";
let firstAt = 0;

export function setKeysOn(on: boolean): void {
  keysOn.value = on;
  localStorage.setItem(STORED, on ? "on" : "off");
}

/** Returns what takes them off again. */
export function addKeys(added: readonly Key[]): () => void {
  keys.value = [...keys.value, ...added];
  return () => {
    keys.value = keys.value.filter((key) => !added.includes(key));
  };
}

/** Keys for as long as a component is there. They must not change meanwhile, except for what
 * `run` does. */
export function useKeys(added: readonly Key[]): void {
  useEffect(() => addKeys(added), []);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches("input, textarea, select, [data-keys=off]");
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (!keysOn.value || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const wanted = event.timeStamp - firstAt < SEQUENCE_MS ? `${first} ${event.key}` : event.key;
  const found =
    keys.value.find((k) => k.keys === wanted) ?? keys.value.find((k) => k.keys === event.key);
  first = event.key;
  firstAt = found ? -SEQUENCE_MS : event.timeStamp;
  if (!found) return;
  event.preventDefault();
  found.run();
});
