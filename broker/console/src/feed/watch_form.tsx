/** What to watch: a filter, where to begin, and how much of it. */
import { useState } from "preact/hooks";
import { filterError } from "../model/levels.js";
import type { Watched } from "../model/snippets.js";
import { Field } from "../parts/controls.js";
import { Icon } from "../parts/icons.js";

type Begin = "now" | "last" | "since";

const EVERY_MAX_MS = 3_600_000;
const POSITION = /^[^\s,]+\.(0|[1-9][0-9]*)$/;

interface Errors {
  filter?: string | null;
  since?: string | null;
  last?: string | null;
  every?: string | null;
}

interface Fields {
  filter: string;
  begin: Begin;
  last: string;
  since: string;
  every: string;
}

function fieldsOf(watched: Watched | null): Fields {
  const since = watched?.since?.join(", ") ?? "";
  return {
    filter: watched?.filter ?? "",
    begin: since ? "since" : watched?.last ? "last" : "now",
    last: String(watched?.last || 1),
    since,
    every: watched?.every ? String(watched.every) : "",
  };
}

function isWhole(value: string, least: number, most: number): boolean {
  return /^[0-9]+$/.test(value) && Number(value) >= least && Number(value) <= most;
}

function positionsIn(value: string): string[] {
  return value.split(/[\s,]+/).filter((position) => position !== "");
}

/** What is wrong with the fields that count, or what they say. */
function read(fields: Fields): { errors: Errors } | { watched: Watched } {
  const { filter, begin, last, every } = fields;
  const since = positionsIn(fields.since);
  const errors: Errors = { filter: filterError(filter) };
  if (begin === "last" && !isWhole(last, 1, 1e6)) errors.last = "a whole number from 1 on";
  if (begin === "since" && since.length === 0) errors.since = "the pos of a message";
  const bad = begin === "since" ? since.find((position) => !POSITION.test(position)) : undefined;
  if (bad !== undefined) errors.since = `“${bad}” is no position: it ends in a dot and a number`;
  if (every !== "" && !isWhole(every, 0, EVERY_MAX_MS)) {
    errors.every = `0 to ${EVERY_MAX_MS} ms`;
  }
  if (Object.values(errors).some((error) => error)) return { errors };
  const watched: Watched = { filter };
  if (begin === "last") watched.last = Number(last);
  if (begin === "since") watched.since = since;
  if (Number(every) > 0) watched.every = Number(every);
  return { watched };
}

type Setter = (change: Partial<Fields>) => void;

function Beginning(props: { fields: Fields; errors: Errors; set: Setter }) {
  const { fields, errors, set } = props;
  return (
    <>
      <Field id="begin" label="Begin with">
        <select
          id="begin"
          value={fields.begin}
          onChange={(event) => set({ begin: event.currentTarget.value as Begin })}
        >
          <option value="now">what comes from now on</option>
          <option value="last">the latest of each topic</option>
          <option value="since">what came after a position</option>
        </select>
      </Field>
      {fields.begin === "last" ? (
        <Field id="last" label="How many of each" class="short" error={errors.last ?? null}>
          <input
            id="last"
            inputMode="numeric"
            value={fields.last}
            aria-invalid={Boolean(errors.last)}
            aria-describedby={errors.last ? "last-error" : undefined}
            onInput={(event) => set({ last: event.currentTarget.value.trim() })}
          />
        </Field>
      ) : null}
      {fields.begin === "since" ? (
        <Field id="since" label="Position, or one of each stream" error={errors.since ?? null}>
          <input
            id="since"
            class="mono"
            spellcheck={false}
            autocomplete="off"
            value={fields.since}
            aria-invalid={Boolean(errors.since)}
            aria-describedby={errors.since ? "since-error" : undefined}
            onInput={(event) => set({ since: event.currentTarget.value })}
          />
        </Field>
      ) : null}
    </>
  );
}

function Every({ fields, errors, set }: { fields: Fields; errors: Errors; set: Setter }) {
  return (
    <Field id="every" label="At most one a topic every" class="short" error={errors.every ?? null}>
      <span class="with-unit">
        <input
          id="every"
          inputMode="numeric"
          placeholder="all"
          value={fields.every}
          aria-invalid={Boolean(errors.every)}
          aria-describedby={errors.every ? "every-error" : undefined}
          onInput={(event) => set({ every: event.currentTarget.value.trim() })}
        />
        <span aria-hidden="true">ms</span>
      </span>
    </Field>
  );
}

interface FormProps {
  watched: Watched | null;
  onWatch: (watched: Watched) => void;
}

export function WatchForm(props: FormProps) {
  const [fields, setFields] = useState(() => fieldsOf(props.watched));
  const [errors, setErrors] = useState<Errors>({});
  const set: Setter = (change) => {
    setFields({ ...fields, ...change });
    setErrors({});
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    const said = read(fields);
    if ("watched" in said) return props.onWatch(said.watched);
    setErrors(said.errors);
    const first = Object.entries(said.errors).find(([, error]) => error)?.[0];
    if (first !== "filter") setOpen(true);
    // Once it is there: options may have been folded away.
    if (first) requestAnimationFrame(() => document.getElementById(first)?.focus());
  };
  const [isOpen, setOpen] = useState(() => matchMedia("(min-width: 721px)").matches);
  return (
    <form class={`watch-form ${isOpen ? "open" : ""}`} onSubmit={submit}>
      <Field id="filter" label="Filter" class="grow" error={errors.filter ?? null}>
        <input
          id="filter"
          class="mono"
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          placeholder="sensors/+/temp"
          value={fields.filter}
          aria-invalid={Boolean(errors.filter)}
          aria-describedby={errors.filter ? "filter-error" : undefined}
          onInput={(event) => set({ filter: event.currentTarget.value })}
        />
      </Field>
      <button type="submit" class="button primary">
        Watch
      </button>
      <button
        type="button"
        class="button options-toggle"
        aria-label="Options"
        aria-expanded={isOpen}
        aria-controls="watch-options"
        onClick={() => setOpen(!isOpen)}
      >
        <Icon name="more" />
      </button>
      <div id="watch-options" class="options" hidden={!isOpen}>
        <Beginning fields={fields} errors={errors} set={set} />
        <Every fields={fields} errors={errors} set={set} />
      </div>
    </form>
  );
}
