/** The findings of this moment, for the overview and for the frame. */
import { computed } from "@preact/signals";
import { downSince, now, state, welcome } from "../store.js";
import { find, type Finding, type Situation } from "./findings.js";
import { listening, nodes } from "./figures.js";

export const situation = computed<Situation>(() => ({
  nodes: nodes.value,
  now: now.value,
  listening: listening.value,
  downSince: downSince.value,
  ended: state.value === "closed",
  via: welcome.value?.node ?? null,
}));

export const findings = computed<readonly Finding[]>(() => find(situation.value));
