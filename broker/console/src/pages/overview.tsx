/** Overview: what is wrong, which nodes there are, and how much goes through them. */
import { useEffect } from "preact/hooks";
import { Choice, Empty, IconButton } from "../parts/controls.js";
import { clock, duration } from "../parts/format.js";
import { askToSignIn, isAdmin, now, signedIn } from "../store.js";
import { findings } from "../overview/findings_now.js";
import { Examples } from "../overview/examples.js";
import { FirstMessage, isUntouched } from "../overview/first.js";
import { nodes } from "../overview/figures.js";
import { NodesTable } from "../overview/nodes_table.js";
import { saveSamples } from "../overview/save.js";
import { figure } from "../overview/stats.js";
import { colorOf, Tiles } from "../overview/tiles.js";
import { from, pointed, scope, span, to, type Span } from "../overview/view.js";
import { Verdict } from "../overview/verdict.js";

const SPANS: { value: Span; text: string }[] = [
  { value: "1", text: "1 min" },
  { value: "5", text: "5 min" },
  { value: "15", text: "15 min" },
];

function scopes() {
  const each = nodes.value.map((node) => ({
    value: node.name,
    text: (
      <span class="node-name">
        <span class="swatch" style={{ background: `var(${colorOf(node)})` }} aria-hidden="true" />
        {node.name}
      </span>
    ),
  }));
  return [{ value: "nodes", text: "By node" }, { value: "total", text: "Total" }, ...each];
}

/** Charts can be pointed at; this does the same by key and by finger. */
function TimeSlider() {
  const at = pointed.value;
  const [first, last] = [from.value, to.value];
  const said = at === null ? "now" : `${clock(at)}, ${duration(now.value - at)} ago`;
  return (
    <label class="look-back">
      <span class="offscreen">Time of the figures</span>
      <input
        type="range"
        min={first}
        max={last}
        step={1}
        value={at === null ? last : Math.round(at / 1000)}
        aria-valuetext={said}
        onInput={(event) => {
          const chosen = Number(event.currentTarget.value);
          pointed.value = chosen >= last ? null : chosen * 1000;
        }}
      />
      <output class={`tabular ${at === null ? "" : "then"}`}>
        {at === null ? "now" : clock(at)}
      </output>
    </label>
  );
}

function Controls() {
  return (
    <div class="bar">
      {nodes.value.length > 1 ? (
        <Choice
          label="Charts show"
          name="scope"
          value={scope.value}
          options={scopes()}
          onChange={(next) => (scope.value = next)}
        />
      ) : null}
      <Choice
        label="Reaching back"
        name="span"
        value={span.value}
        options={SPANS}
        onChange={(next) => (span.value = next)}
      />
      <TimeSlider />
      <span class="push" />
      <IconButton icon="down" label="Save the samples as CSV" onClick={saveSamples} />
    </div>
  );
}

function NotAdmin() {
  return (
    <div class="panel">
      <Empty title="Figures are for admins">
        <p>
          {signedIn.value
            ? "The token that you signed in with is no admin's."
            : "You are not signed in."}{" "}
          Watching and publishing work as far as the broker's rules permit.
        </p>
        <button type="button" class="button primary" onClick={askToSignIn}>
          Sign in
        </button>
      </Empty>
    </div>
  );
}

export function OverviewPage() {
  useEffect(() => () => void (pointed.value = null), []);
  if (isAdmin.value === false) return <NotAdmin />;
  if (nodes.value.length === 0) return <Verdict findings={findings.value} />;
  const relayed = nodes.value.some((node) => figure(node.stats, "relay_up") !== null);
  return (
    <>
      <Verdict findings={findings.value} />
      {isUntouched() ? <FirstMessage /> : null}
      <NodesTable relayed={relayed} />
      <Controls />
      <Tiles findings={findings.value} relayed={relayed} />
      <Examples />
    </>
  );
}
