/**
 * One topic, or one level and all below it: its figures, its last value, and what can be done with
 * it.
 */
import { Badge } from "../parts/badge.js";
import { CopyButton, IconButton } from "../parts/controls.js";
import { bytes, count, dateTime, duration, plural, rate, text } from "../parts/format.js";
import { Icon } from "../parts/icons.js";
import { href } from "../route.js";
import { now } from "../store.js";
import type { LevelFigures, TopicFigures } from "../model/tree.js";
import { Fact } from "./fact.js";
import type { LastValue, LastValues } from "./last_values.js";
import { copyText, Data, kindOf } from "./message_details.js";
import { repeatLater } from "./publications.js";
import type { BrowserRow } from "./topic_browser.js";
import { filterOf } from "./topic_rows.js";

function ago(at: number): string {
  const ms = now.value - at;
  return ms < 1500 ? "just now" : `${duration(ms)} ago`;
}

function Value(props: { topic: string; value: LastValue | undefined }) {
  const { topic, value } = props;
  if (!value) return <p class="hint">asking…</p>;
  if (!value.message) return <p class="hint">{value.note}</p>;
  const { data } = value.message;
  return (
    <>
      <div class="section-head">
        <h3>Last value</h3>
        <span class="hint">{kindOf(data)}</span>
        <CopyButton text={() => copyText(data)} label="Copy the last value" />
      </div>
      <Data data={data} label={`Last value of ${topic}`} />
    </>
  );
}

function Facts(props: { figures: LevelFigures | TopicFigures; below: number; isKept: boolean }) {
  const { figures, below } = props;
  return (
    <dl class="facts">
      {below > 0 ? <Fact name="Topics">{below.toLocaleString("en-US")}</Fact> : null}
      <Fact name="Rate">{text(rate(figures.rate))}</Fact>
      <Fact name="Publications">
        {text(count(figures.publications))}, {text(bytes(figures.bytes))}
      </Fact>
      <Fact name="Latest" title={dateTime(figures.at)}>
        {ago(figures.at)}
      </Fact>
      {props.isKept ? (
        <Fact name="Kept">
          <Badge>retained</Badge>
        </Fact>
      ) : null}
    </dl>
  );
}

export function TopicDetails(props: { row: BrowserRow; values: LastValues; onClose: () => void }) {
  const { row, values } = props;
  if (row.kind === "rest") return null;
  const { figures, path } = row;
  const topic = row.kind === "topic" ? row.figures : row.figures.topic;
  const below = row.kind === "level" && row.hasBelow ? row.figures.topics : 0;
  // Drawn again when another value has come.
  const value = values.version.value >= 0 && topic ? values.get(topic.topic) : undefined;
  const message = value?.message;
  return (
    <aside class="details" aria-label="The selected topic">
      <header>
        <h2 class="row-topic">
          {path}
          {below > 0 ? "/…" : ""}
        </h2>
        <CopyButton text={path} label="Copy the topic" />
        <IconButton icon="close" label="Close the topic" onClick={props.onClose} />
      </header>
      <div class="actions">
        <a class="button primary" href={href("watch", { filter: filterOf(row), last: 1 })}>
          <Icon name="watch" />
          Watch
        </a>
        {topic ? (
          <a
            class="button"
            href={href("publish", { topic: topic.topic })}
            onClick={() => message && repeatLater({ topic: topic.topic, data: message.data })}
          >
            <Icon name="publish" />
            Publish
          </a>
        ) : null}
      </div>
      <Facts figures={figures} below={below} isKept={topic?.retained === true} />
      {topic ? <Value topic={topic.topic} value={value} /> : null}
      {topic || below === 0 ? null : (
        <p class="hint">No topic itself: {plural(below, "topic")} below.</p>
      )}
    </aside>
  );
}
