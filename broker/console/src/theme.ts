/**
 * Light or dark: the system's choice unless the switch says otherwise, which is kept in this
 * browser. The document always carries what is in force as `data-theme`, so that the style sheet
 * says each colour once.
 */
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const STORED = "fantail.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function stored(): Theme {
  const value = localStorage.getItem(STORED);
  return value === "light" || value === "dark" ? value : "system";
}

export const theme = signal<Theme>(stored());
/** What is in force; charts draw themselves again when it changes. */
export const shownTheme = signal<"light" | "dark">("light");

export function setTheme(next: Theme): void {
  theme.value = next;
  if (next === "system") localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, next);
}

function apply(): void {
  const dark = theme.value === "system" ? system.matches : theme.value === "dark";
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  shownTheme.value = dark ? "dark" : "light";
}

effect(apply);
system.addEventListener("change", apply);
