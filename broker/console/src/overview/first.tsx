/** For who has just started the broker: how to publish something, until something has been
 * published. */
import { useState } from "preact/hooks";
import { Choice, Code } from "../parts/controls.js";
import { config } from "../store.js";
import { nodes } from "./figures.js";
import { figure } from "./stats.js";

type Way = "command" | "curl" | "page";

function commandOf(way: Way): string {
  const ws = new URL(config.value?.ws ?? "/ws", location.href);
  ws.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const server = ws.host === "127.0.0.1:8080" ? "" : ` -s ${ws.href}`;
  if (way === "command") return `build/fantail${server} pub greetings '{"hello": 1}'`;
  if (way === "curl")
    return (
      `curl -H 'Content-Type: application/json' -d '{"hello": 1}' ` +
      `${location.origin}/v1/topics/greetings`
    );
  return (
    `import { connect } from "fantail"\n\nconst fan = connect("${ws.href}")\n` +
    `await fan.publish("greetings", { hello: 1 })`
  );
}

/** Nothing was taken in by any node since it was started. */
export function isUntouched(): boolean {
  const heard = nodes.value.filter((node) => node.stats !== null);
  return (
    heard.length > 0 && heard.every((node) => figure(node.stats, "publications_received") === 0)
  );
}

export function FirstMessage() {
  const [way, setWay] = useState<Way>("command");
  return (
    <section class="panel first" aria-label="The first publication">
      <div class="bar">
        <h2>Nothing has been published yet. Try:</h2>
        <Choice
          label="How"
          name="way"
          value={way}
          options={[
            { value: "command", text: "Command" },
            { value: "curl", text: "curl" },
            { value: "page", text: "JavaScript" },
          ]}
          onChange={setWay}
        />
      </div>
      <Code text={commandOf(way)} label="The first publication" />
      <p class="hint">
        <code>make demo</code> publishes live figures of this machine, ten times a second.
      </p>
    </section>
  );
}
