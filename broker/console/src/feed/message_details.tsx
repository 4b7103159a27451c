/** One message whole: where it stands, its data indented and coloured, or as bytes. */
import { useMemo, useState } from "preact/hooks";
import type { Message } from "fantail";
import { hexDump, toHex } from "../model/hex.js";
import { prettyText, prettyTokens } from "../model/json_text.js";
import { wildParts } from "../model/levels.js";
import { publishSnippets } from "../model/snippets.js";
import { Badge } from "../parts/badge.js";
import { CopyButton, IconButton } from "../parts/controls.js";
import { clockMs, dateTime, plural } from "../parts/format.js";
import { href } from "../route.js";
import { CodeDialog, thisBroker } from "./code_dialog.js";
import { Fact } from "./fact.js";
import { repeatLater } from "./publications.js";

/** Pieces with a colour of their own; what is longer is shown in one. */
const COLOURED = 5000;
const DUMPED_BYTES = 64 * 1024;
/** As many as stand in a line beside a list, and on a phone. */
const BYTES_A_LINE = 8;

export function Topic(props: { filter: string; topic: string }) {
  return (
    <span class="row-topic">
      {wildParts(props.filter, props.topic).map((part, i) =>
        part.wild ? <mark key={i}>{part.text}</mark> : <span key={i}>{part.text}</span>,
      )}
    </span>
  );
}

/** Data as it is read best. */
export function Data(props: { data: unknown; label: string }) {
  const { data } = props;
  const tokens = useMemo(() => (data instanceof Uint8Array ? [] : prettyTokens(data)), [data]);
  const text = useMemo(
    () => (data instanceof Uint8Array ? hexDump(data, DUMPED_BYTES, BYTES_A_LINE) : ""),
    [data],
  );
  return (
    <pre class="data" tabIndex={0} aria-label={props.label}>
      {data instanceof Uint8Array
        ? text
        : tokens.length > COLOURED
          ? tokens.map((token) => token.text).join("")
          : tokens.map((token, i) =>
              token.kind === "plain" ? (
                token.text
              ) : (
                <span key={i} class={`json-${token.kind}`}>
                  {token.text}
                </span>
              ),
            )}
    </pre>
  );
}

export function copyText(data: unknown): string {
  if (typeof data === "string") return data;
  return data instanceof Uint8Array ? toHex(data) : prettyText(data);
}

export function kindOf(data: unknown): string {
  if (data instanceof Uint8Array) return plural(data.length, "byte");
  if (data === null) return "null";
  if (Array.isArray(data)) return `list of ${plural(data.length, "item")}`;
  if (typeof data === "object") return `map of ${plural(Object.keys(data).length, "key")}`;
  return typeof data === "string" ? `string of ${plural(data.length, "character")}` : typeof data;
}

export function MessageDetails(props: { message: Message; filter: string; onClose: () => void }) {
  const { message } = props;
  const [code, setCode] = useState(false);
  const { topic, data, at, pos } = message;
  return (
    <aside class="details" aria-label="The selected message">
      <header>
        <h2>
          <Topic filter={props.filter} topic={topic} />
        </h2>
        <IconButton icon="close" label="Close the message" onClick={props.onClose} />
      </header>
      <dl class="facts">
        {at === undefined ? null : (
          <Fact name="Accepted" title={dateTime(at)}>
            {clockMs(at)}
          </Fact>
        )}
        <Fact name="Position">
          {pos ?? "none: ephemeral"}
          {pos === undefined ? null : <CopyButton text={pos} label="Copy the position" />}
        </Fact>
        <Fact name="Data">
          {kindOf(data)} {message.retained ? <Badge>retained</Badge> : null}
        </Fact>
      </dl>
      <Data data={data} label={`Data of ${topic}`} />
      <div class="actions">
        <CopyButton text={() => copyText(data)} label="Copy the data">
          Copy
        </CopyButton>
        <button type="button" class="button" onClick={() => setCode(true)}>
          As code
        </button>
        <a class="button" href={href("watch", { filter: topic, last: 10 })}>
          Watch this topic
        </a>
        <a
          class="button"
          href={href("publish", { topic })}
          onClick={() => repeatLater({ topic, data })}
        >
          Publish again
        </a>
      </div>
      {code ? (
        <CodeDialog
          title="Publish this by code"
          snippets={publishSnippets(thisBroker(), { topic, data })}
          onClose={() => setCode(false)}
        />
      ) : null}
    </aside>
  );
}
