/** The first thing on the overview: whether all is well, and if not, what is wrong, the gravest
 * first. */
import { Dot } from "../parts/badge.js";
import type { Tone } from "../parts/badge.js";
import { downSince } from "../store.js";
import type { Finding } from "./findings.js";
import { nodes } from "./figures.js";

const SHOWN = 6;

function allWell(): { tone: Tone; title: string; detail: string } {
  const all = nodes.value;
  const [only] = all;
  if (downSince.value !== null || !all.some((node) => node.heard > 0))
    return {
      tone: "plain",
      title: "Waiting for figures",
      detail: "Each node tells its own once a second.",
    };
  const title =
    all.length === 1 && only ? `${only.name} is well` : `All ${all.length} nodes are well`;
  return { tone: "good", title, detail: "Nothing lost, nobody parked, every node answers." };
}

/** Read out when another thing is wrong, not when only its numbers go on. */
export function Verdict(props: { findings: readonly Finding[] }) {
  const { findings } = props;
  const said = findings.map((one) => one.title).join(". ");
  const first = findings[0] ?? allWell();
  const list = findings.slice(0, SHOWN);
  return (
    <section class={`panel verdict ${first.tone}`} aria-label="Health">
      <p class="offscreen" role="status">
        {said === "" ? first.title : said}
      </p>
      {findings.length === 0 ? (
        <div class="finding">
          <Dot tone={first.tone} />
          <strong>{first.title}</strong>
          <span>{first.detail}</span>
        </div>
      ) : (
        <ul>
          {list.map((one) => (
            <li key={one.title} class={`finding ${one.tone}`}>
              <Dot tone={one.tone} />
              <strong>{one.title}</strong>
              <span>{one.detail}</span>
            </li>
          ))}
        </ul>
      )}
      {findings.length > SHOWN ? <p class="quiet">and {findings.length - SHOWN} more</p> : null}
    </section>
  );
}
