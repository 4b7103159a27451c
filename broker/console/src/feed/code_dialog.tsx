/** The same as code, for a terminal or a program: a dialog with one piece for each tool. */
import { useState } from "preact/hooks";
import { Choice, Code } from "../parts/controls.js";
import { Dialog } from "../parts/dialog.js";
import type { Broker, Snippet } from "../model/snippets.js";
import { config, isAdmin, signedIn } from "../store.js";

const STORED = "fantail.tool";

/** This page's broker, as others reach it. */
export function thisBroker(): Broker {
  const ws = new URL(config.value?.ws ?? "/ws", location.href);
  ws.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const auth = signedIn.value || (config.value?.auth === true && isAdmin.value !== true);
  return { origin: location.origin, ws: ws.href, auth };
}

export function CodeDialog(props: { title: string; snippets: Snippet[]; onClose: () => void }) {
  const [name, setName] = useState<string>(localStorage.getItem(STORED) ?? "curl");
  const shown = props.snippets.find((snippet) => snippet.name === name) ?? props.snippets[0];
  const choose = (next: string): void => {
    localStorage.setItem(STORED, next);
    setName(next);
  };
  if (!shown) return null;
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <Choice
        label="Tool"
        name="tool"
        value={shown.name as string}
        options={props.snippets.map((snippet) => ({
          value: snippet.name as string,
          text: snippet.name,
        }))}
        onChange={choose}
      />
      <Code text={shown.code} label={`${props.title}: ${shown.name}`} />
      {shown.code.includes("FANTAIL_TOKEN") ? (
        <p class="hint">The token is read from the environment variable FANTAIL_TOKEN.</p>
      ) : null}
    </Dialog>
  );
}
