/**
 * What an operator has to know now, the gravest first, in words: derived from the figures of the
 * last minute and nothing else. Thresholds are where somebody who is woken for it would not be
 * angry. What ails several nodes in the same way is one finding.
 */
import { duration, percent, plural, seconds, text } from "../parts/format.js";
import type { Tone } from "../parts/tone.js";
import { isGone, silence, type Node } from "./nodes.js";
import { figure, greatest, type Figure, type Sample } from "./stats.js";

type Grave = Extract<Tone, "bad" | "warn" | "note">;

/** One thing that ails one node. */
interface Symptom {
  tone: Grave;
  node: string;
  /** What is said of one node, and of several. */
  says: readonly [one: string, many: string];
  /** How much, on this node. */
  measure: string;
  /** What it means or what to look at: the same on each. */
  meaning: string;
  /** The figure that shows it. */
  figure?: Figure;
}

export interface Finding {
  tone: Grave;
  /** Which nodes; none: this page. */
  nodes: readonly string[];
  title: string;
  detail: string;
  figure?: Figure;
}

export interface Situation {
  nodes: readonly Node[];
  /** Unix ms. */
  now: number;
  /** Unix ms from when on silence is the nodes' own. */
  listening: number;
  /** Since when this page has no connection; null while it has one. */
  downSince: number | null;
  /** The broker has ended the connection for good. */
  ended: boolean;
  /** The node that this page is connected to. */
  via: string | null;
}

const RECENT_MS = 60_000;
const RESTART_SHOWN_MS = 5 * 60_000;
const DOWN_MS = 1000; // a reconnect that takes no longer is nobody's business
const LAG_WARN = 1000; // publications: more than are on their way at any time
const FILES_WARN = 0.8;
const FILES_BAD = 0.95;
const LATE_WARN_S = 1; // what people notice; a busy machine is late by less all the time
const LATE_BAD_S = 3;
const NAMED = 3;

const RANK = { bad: 0, warn: 1, note: 2 };

/** What a figure has come to in the last minute. */
function recent(node: Node, name: Figure, now: number): number {
  let sum = 0;
  let last: Sample | null = null;
  for (const sample of node.samples) {
    const value = sample[name];
    const step = last ? (sample.at - last.at) / 1000 : 1;
    if (now - sample.at < RECENT_MS && value !== null) sum += value * step;
    last = sample;
  }
  return Math.round(sum);
}

/** Nothing comes of a node: because of it, or because of what is between. */
function ofSilence(node: Node, s: Situation, isRelayDown: boolean): Symptom | null {
  const quiet = silence(node, s.now, s.listening);
  if (quiet === 0 && node.listed) return null;
  const measure =
    node.heard === 0 ? "never heard" : `last heard ${duration(s.now - node.heard)} ago`;
  const common = { node: node.name, measure };
  if (isRelayDown && node.name !== s.via) {
    const meaning = "Figures of other nodes come through Redis.";
    return { ...common, tone: "warn", says: ["cannot be heard", "cannot be heard"], meaning };
  }
  if (isGone(node, s.now, s.listening)) {
    const meaning = "Stopped or lost: no longer one of the cluster.";
    return { ...common, tone: "bad", says: ["is gone", "are gone"], meaning };
  }
  const meaning = "The process hangs or died, or its network is cut.";
  return { ...common, tone: "bad", says: ["does not answer", "do not answer"], meaning };
}

function ofRelay(node: Node): Symptom | null {
  const up = figure(node.stats, "relay_up");
  if (up === null || up === 1) return null;
  const [all, there] = [
    figure(node.stats, "relay_servers"),
    figure(node.stats, "relay_servers_up"),
  ];
  return {
    tone: "bad",
    node: node.name,
    says: ["is cut off from Redis", "are cut off from Redis"],
    measure: `${there ?? 0} of ${all ?? "its"} Redis servers reached`,
    meaning: "Publications are refused with 503.",
    figure: "lag",
  };
}

/** Cut off from Redis is said already. */
function ofReadiness(node: Node): Symptom | null {
  if (figure(node.stats, "ready") !== 0 || figure(node.stats, "relay_up") === 0) return null;
  const why = node.stats?.["unready"];
  return {
    tone: "warn",
    node: node.name,
    says: ["takes no new clients", "take no new clients"],
    measure: typeof why === "string" ? why : "not ready",
    meaning: "Load balancers send them elsewhere.",
    figure: "connections",
  };
}

function ofLoss(node: Node, now: number): Symptom | null {
  const [lost, gaps] = [recent(node, "lost", now), recent(node, "gaps", now)];
  if (lost <= 0 && gaps <= 0) return null;
  const parts = [gaps > 0 ? plural(gaps, "gap") : "", lost > 0 ? plural(lost, "publication") : ""];
  return {
    tone: "bad",
    node: node.name,
    says: ["loses publications", "lose publications"],
    measure: `${parts.filter(Boolean).join(" and ")} in the last minute`,
    meaning: "Readers fell back further than the journal reaches; they were told.",
    figure: "lost",
  };
}

function ofRefusals(node: Node, now: number): Symptom | null {
  const refused = recent(node, "refused", now);
  if (refused <= 0) return null;
  return {
    tone: "warn",
    node: node.name,
    says: ["refuses publications", "refuse publications"],
    measure: `${plural(refused, "publication")} in the last minute`,
    meaning: "The figure publications_refused says why.",
    figure: "published",
  };
}

function ofParking(node: Node): Symptom | null {
  const parked = figure(node.stats, "sessions_parked") ?? 0;
  if (parked === 0) return null;
  return {
    tone: "warn",
    node: node.name,
    says: ["has slow readers", "have slow readers"],
    measure: `${plural(parked, "session")} parked`,
    meaning: "They are fed from the journal, and lose nothing while it reaches back far enough.",
    figure: "parked",
  };
}

function ofLag(node: Node): Symptom | null {
  const lag = node.samples.at(-1)?.lag ?? 0;
  if (lag <= LAG_WARN) return null;
  return {
    tone: "warn",
    node: node.name,
    says: ["is behind Redis", "are behind Redis"],
    measure: `by ${plural(lag, "publication")}`,
    meaning: "Subscribers there get what is published late.",
    figure: "lag",
  };
}

function ofLateness(node: Node): Symptom | null {
  const late = greatest(node.stats, "worker_lag_max_seconds") ?? 0;
  if (late <= LATE_WARN_S) return null;
  return {
    tone: late > LATE_BAD_S ? "bad" : "warn",
    node: node.name,
    says: ["stalled", "stalled"],
    measure: `${text(seconds(late))} late within the last half minute`,
    meaning: "A worker did nothing for so long: too much load, or a machine that stands still.",
    figure: "latency",
  };
}

function ofFiles(node: Node): Symptom | null {
  const [open, most] = [
    figure(node.stats, "process_open_fds"),
    figure(node.stats, "process_max_fds"),
  ];
  if (open === null || !most || open / most < FILES_WARN) return null;
  return {
    tone: open / most < FILES_BAD ? "warn" : "bad",
    node: node.name,
    says: ["runs out of file descriptors", "run out of file descriptors"],
    measure: `${text(percent(open / most))} of ${most} in use`,
    meaning: "Then no more connections are taken.",
    figure: "connections",
  };
}

function ofRestart(node: Node, now: number): Symptom | null {
  if (node.restarted === null || now - node.restarted > RESTART_SHOWN_MS) return null;
  return {
    tone: "note",
    node: node.name,
    says: ["was restarted", "were restarted"],
    measure: `${duration(now - node.restarted)} ago`,
    meaning: "Counters began anew.",
  };
}

function ofNode(node: Node, s: Situation, isRelayDown: boolean): Symptom[] {
  const silent = ofSilence(node, s, isRelayDown);
  if (silent) return [silent];
  const found = [
    ofRelay(node),
    ofReadiness(node),
    ofLoss(node, s.now),
    ofLateness(node),
    ofFiles(node),
    ofRefusals(node, s.now),
    ofParking(node),
    ofLag(node),
    ofRestart(node, s.now),
  ];
  return found.filter((one) => one !== null);
}

function named(names: readonly string[]): string {
  const shown =
    names.length <= NAMED
      ? [...names]
      : [...names.slice(0, NAMED - 1), `${names.length - NAMED + 1} more`];
  const last = shown.pop() ?? "";
  return shown.length === 0 ? last : `${shown.join(", ")} and ${last}`;
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** Symptoms that say the same become one finding. */
function gather(symptoms: readonly Symptom[]): Finding[] {
  const groups = new Map<string, Symptom[]>();
  for (const one of symptoms) {
    const key = `${one.tone} ${one.says[0]}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].map((group) => {
    const first = group[0] as Symptom;
    const names = group.map((one) => one.node);
    const measures = group
      .slice(0, NAMED)
      .map((one) => (group.length > 1 ? `${one.node} ${one.measure}` : one.measure));
    const measure = measures.join(", ");
    return {
      tone: first.tone,
      nodes: names,
      title: `${named(names)} ${first.says[group.length > 1 ? 1 : 0]}`,
      detail: `${group.length > 1 ? measure : capital(measure)}. ${first.meaning}`,
      ...(first.figure ? { figure: first.figure } : {}),
    };
  });
}

function ofConnection(s: Situation, since: number): Finding[] {
  if (s.ended) {
    const title = s.via === null ? "The connection was ended" : `${s.via} has ended the connection`;
    const detail = "An operator did, or the token is not good any more. Connect again at the top.";
    return [{ tone: "bad", nodes: [], title, detail }];
  }
  if (s.now - since < DOWN_MS) return [];
  const title =
    s.via === null ? "The broker cannot be reached" : `The connection to ${s.via} is lost`;
  const detail = "What is below is what was last known. The page goes on trying by itself.";
  return [{ tone: "bad", nodes: [], title, detail }];
}

/** Without a connection nothing is known of the nodes, so nothing is said of them. */
export function find(s: Situation): Finding[] {
  if (s.downSince !== null) return ofConnection(s, s.downSince);
  const isRelayDown = s.nodes.some(
    (node) => silence(node, s.now, s.listening) === 0 && ofRelay(node) !== null,
  );
  const symptoms = s.nodes.flatMap((node) => ofNode(node, s, isRelayDown));
  return gather(symptoms).sort((a, b) => RANK[a.tone] - RANK[b.tone]);
}

/** How one node is, in a word. */
export function healthOf(
  node: Node,
  s: Situation,
  found: readonly Finding[],
): { tone: Tone; text: string } {
  if (s.downSince !== null) return { tone: "plain", text: "not known" };
  const own = found.filter((one) => one.nodes.includes(node.name) && one.tone !== "note");
  const tone = own[0]?.tone ?? "good";
  const quiet = silence(node, s.now, s.listening);
  if (quiet > 0 || !node.listed)
    return {
      tone,
      text: isGone(node, s.now, s.listening) ? "gone" : `silent for ${duration(quiet)}`,
    };
  if (node.heard === 0) return { tone: "plain", text: "no figures yet" };
  return {
    tone,
    text: { bad: "in trouble", warn: "look at it", note: "well", good: "well" }[tone],
  };
}
