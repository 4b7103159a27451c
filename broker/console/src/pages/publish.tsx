/**
 * The Publish page: one publication by hand, its answer, and the last ones of this tab to be
 * repeated.
 */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Published } from "fantail";
import { CodeDialog, thisBroker } from "../feed/code_dialog.js";
import { DataEditor } from "../feed/data_editor.js";
import { errorText } from "../feed/failure.js";
import { forgetAll, keep, outcomes, takeLater, type Outcome } from "../feed/publications.js";
import {
  dataBytes,
  EMPTY_DRAFT,
  readData,
  readDraft,
  type Draft,
  type DraftErrors,
} from "../model/draft.js";
import { publishSnippets } from "../model/snippets.js";
import { Badge } from "../parts/badge.js";
import { Check, CopyButton, Empty, Field } from "../parts/controls.js";
import { clock } from "../parts/format.js";
import { Icon } from "../parts/icons.js";
import { href, route } from "../route.js";
import { client, state, welcome } from "../store.js";
import "./pages.css";
import "./publish.css";

const MESSAGE_BYTES = 65_536;

let lastTime = 0;

/** Outcomes are told apart by their times. */
function newTime(): number {
  lastTime = Math.max(Date.now(), lastTime + 1);
  return lastTime;
}

function acceptedText({ pos, duplicate }: Published): string {
  if (duplicate) return "duplicate: this key was published before";
  return pos === undefined ? "accepted; an ephemeral topic has no positions" : "accepted";
}

/** Publishes and keeps what came of it. */
async function publish(draft: Draft): Promise<void> {
  const read = readDraft(draft);
  const fan = client.peek();
  if (!("publication" in read) || !fan) return;
  const { topic, data, ...options } = read.publication;
  const at = newTime();
  keep({ draft, at });
  try {
    const published = await fan.publish(topic, data, options);
    const pos = published.pos === undefined ? {} : { pos: published.pos };
    keep({ draft, at, ok: true, text: acceptedText(published), ...pos });
  } catch (error) {
    keep({ draft, at, ok: false, text: errorText(error) });
  }
}

type Setter = (change: Partial<Draft>) => void;

function Options(props: { draft: Draft; errors: DraftErrors; set: Setter }) {
  const { draft, errors, set } = props;
  return (
    <div class="options">
      <Check
        label="Keep as the last value (retain)"
        checked={draft.retain}
        onChange={(retain) => set({ retain })}
      />
      <Field id="ttl" label="Time to live" class="short" error={errors.ttl ?? null}>
        <span class="with-unit">
          <input
            id="ttl"
            inputMode="numeric"
            placeholder="no end"
            value={draft.ttl}
            aria-invalid={Boolean(errors.ttl)}
            aria-describedby={errors.ttl ? "ttl-error" : undefined}
            onInput={(event) => set({ ttl: event.currentTarget.value.trim() })}
          />
          <span aria-hidden="true">s</span>
        </span>
      </Field>
      <Field
        id="key"
        label="Key"
        error={errors.key ?? null}
        hint="The same key on the same topic within 120 s is taken once."
      >
        <input
          id="key"
          class="mono"
          spellcheck={false}
          autocomplete="off"
          value={draft.key}
          aria-invalid={Boolean(errors.key)}
          aria-describedby={errors.key ? "key-error" : "key-hint"}
          onInput={(event) => set({ key: event.currentTarget.value })}
        />
      </Field>
    </div>
  );
}

function TopicField(props: { value: string; error: string | undefined; set: Setter }) {
  return (
    <Field id="topic" label="Topic" error={props.error ?? null}>
      <input
        id="topic"
        class="mono"
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        placeholder="sensors/attic/temp"
        value={props.value}
        aria-invalid={Boolean(props.error)}
        aria-describedby={props.error ? "topic-error" : undefined}
        onInput={(event) => props.set({ topic: event.currentTarget.value })}
      />
    </Field>
  );
}

function Size(props: { data: unknown; most: number }) {
  const size = useMemo(() => dataBytes(props.data), [props.data]);
  const bad = size > props.most;
  return (
    <span class={`num ${bad ? "error" : "hint"}`}>
      {size.toLocaleString("en-US")} of {props.most.toLocaleString("en-US")} bytes
    </span>
  );
}

function Form(props: { draft: Draft; set: Setter }) {
  const { draft, set } = props;
  const [errors, setErrors] = useState<DraftErrors>({});
  const [code, setCode] = useState(false);
  const read = useMemo(() => readData(draft.form, draft.text), [draft.form, draft.text]);
  const most = welcome.value?.limits.message ?? MESSAGE_BYTES;
  const change: Setter = (next) => {
    setErrors({});
    set(next);
  };
  /** Runs `then` when all is right; else goes to the first field that is not. */
  const checked =
    (then: () => void) =>
    (event?: Event): void => {
      event?.preventDefault();
      const said = readDraft(draft);
      if ("publication" in said) return then();
      setErrors(said.errors);
      const first = Object.keys(said.errors)[0];
      if (first) document.getElementById(first)?.focus();
    };
  const submit = checked(() => void publish(draft));
  const said = code ? readDraft(draft) : null;
  return (
    <form class="publish-form" onSubmit={submit}>
      <TopicField value={draft.topic} error={errors.topic} set={change} />
      <DataEditor
        form={draft.form}
        text={draft.text}
        read={read}
        isJudged={draft.text !== "" || errors.data !== undefined}
        most={most}
        onForm={(form) => change({ form })}
        onText={(text) => change({ text })}
        onSubmit={submit}
      />
      <Options draft={draft} errors={errors} set={change} />
      <div class="actions">
        <button type="submit" class="button primary" disabled={!client.value}>
          <Icon name="publish" />
          Publish
        </button>
        <button type="button" class="button" onClick={checked(() => setCode(true))}>
          <Icon name="copy" />
          As code
        </button>
        {read.error === undefined && draft.text !== "" ? (
          <Size data={read.data} most={most} />
        ) : null}
      </div>
      {said && "publication" in said ? (
        <CodeDialog
          title="Publish this by code"
          snippets={publishSnippets(thisBroker(), said.publication)}
          onClose={() => setCode(false)}
        />
      ) : null}
    </form>
  );
}

/** What became of it, in a few words. */
function Verdict(props: { outcome: Outcome }) {
  const { ok, text, pos } = props.outcome;
  if (ok === undefined) {
    return <span>{state.value === "open" ? "no answer yet" : "waits for the connection"}</span>;
  }
  return (
    <>
      <Badge tone={ok ? "good" : "bad"}>{ok ? "ok" : "error"}</Badge>
      <span class="verdict-text">{text}</span>
      {pos === undefined ? null : (
        <span class="pos num">
          <code>{pos}</code>
          <CopyButton text={pos} label="Copy the position" />
        </span>
      )}
    </>
  );
}

function optionsText({ retain, ttl, key, form }: Draft): string {
  const words = [
    form === "hex" ? "bytes" : "",
    retain ? "retain" : "",
    ttl && `ttl ${ttl} s`,
    key && `key ${key}`,
  ];
  return words.filter(Boolean).join(" · ");
}

function Last(props: { onFill: (draft: Draft) => void }) {
  if (outcomes.value.length === 0) {
    return (
      <Empty title="Nothing was published from this tab yet">
        <p>What you publish is listed here, with its position, and can be repeated.</p>
      </Empty>
    );
  }
  return (
    <ol class="outcomes">
      {outcomes.value.map((outcome) => {
        const { draft, at } = outcome;
        const about = `${draft.topic}, ${clock(at)}`;
        return (
          <li key={at}>
            <div class="outcome-head">
              <a class="row-topic" href={href("watch", { filter: draft.topic, last: 1 })}>
                {draft.topic}
              </a>
              <time class="num">{clock(at)}</time>
            </div>
            <p class="outcome-data">{draft.text}</p>
            <p class="outcome-verdict">
              <Verdict outcome={outcome} />
            </p>
            <div class="actions">
              <button
                type="button"
                class="button"
                aria-label={`Publish again: ${about}`}
                onClick={() => void publish(draft)}
              >
                Again
              </button>
              <button
                type="button"
                class="button"
                aria-label={`Edit: ${about}`}
                onClick={() => props.onFill(draft)}
              >
                Edit
              </button>
              <span class="hint">{optionsText(draft)}</span>
            </div>
          </li>
        );
      })}
    </ol>
  );
}

/** Read out when it changes: the answer to what was published last. */
function Announced() {
  const [latest] = outcomes.value;
  const isRecent = latest !== undefined && latest.at === lastTime && latest.ok !== undefined;
  return (
    <p class="offscreen" role="status">
      {isRecent ? `${latest.draft.topic}: ${latest.text ?? ""} ${latest.pos ?? ""}` : ""}
    </p>
  );
}

export function PublishPage() {
  const wanted = route.value.params.get("topic") ?? "";
  const [draft, setDraft] = useState<Draft>(
    () => takeLater(wanted) ?? { ...EMPTY_DRAFT, topic: wanted },
  );
  useEffect(() => {
    if (wanted !== "" && wanted !== draft.topic) setDraft({ ...draft, topic: wanted });
  }, [wanted]);
  const fill = (next: Draft): void => {
    setDraft(next);
    document.getElementById("topic")?.focus();
  };
  return (
    <div class="page publish">
      <section aria-label="New publication">
        <Form draft={draft} set={(change) => setDraft({ ...draft, ...change })} />
      </section>
      <section aria-labelledby="last-title">
        <div class="section-head">
          <h2 id="last-title">Published from this tab</h2>
          {outcomes.value.length > 0 ? (
            <button type="button" class="link" onClick={forgetAll}>
              Forget all
            </button>
          ) : null}
        </div>
        <Last onFill={fill} />
      </section>
      <Announced />
    </div>
  );
}
