/** Small things that say a state: a badge, a dot, a number with its unit. Never by colour alone. */
import type { ComponentChildren } from "preact";
import type { Quantity } from "./format.js";
import type { Tone } from "./tone.js";

export type { Tone };

export function Badge(props: { tone?: Tone; title?: string; children: ComponentChildren }) {
  return (
    <span class={`badge ${props.tone ?? "plain"}`} title={props.title}>
      {props.children}
    </span>
  );
}

/** Its shape differs by tone, too: round is good, a triangle warns, a square is bad. */
export function Dot(props: { tone: Tone }) {
  return <span class={`dot ${props.tone}`} aria-hidden="true" />;
}

export function Num(props: { of: Quantity; class?: string }) {
  return (
    <span class={`num ${props.class ?? ""}`}>
      {props.of.value}
      {props.of.unit === "" ? null : <span class="unit">{`\u00a0${props.of.unit}`}</span>}
    </span>
  );
}
