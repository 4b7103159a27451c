/** Where data is typed: text with numbered lines, and what is wrong with it and where. */
import { useMemo, useRef } from "preact/hooks";
import type { Draft, ReadData } from "../model/draft.js";
import { toHex } from "../model/hex.js";
import { Choice } from "../parts/controls.js";
import { toast } from "../parts/toast.js";

const FORMS: { value: Draft["form"]; text: string }[] = [
  { value: "json", text: "JSON" },
  { value: "text", text: "Text" },
  { value: "hex", text: "Bytes" },
];

const PLACEHOLDERS: Record<Draft["form"], string> = {
  json: '{"celsius": 21.5}',
  text: "published as a string",
  hex: "48 65 6c 6c 6f",
};

interface GutterProps {
  text: string;
  bad: number | null;
  of: { current: HTMLPreElement | null };
}

/** Numbers of lines, scrolled along with the text. Who cannot see them is told line and column. */
function Gutter(props: GutterProps) {
  const lines = props.text.split("\n").length;
  const numbers = useMemo(() => Array.from({ length: lines }, (_, i) => i + 1), [lines]);
  return (
    <pre class="gutter" aria-hidden="true" ref={props.of}>
      {numbers.map((n) => (
        <span key={n} class={n === props.bad ? "bad" : undefined}>{`${n}\n`}</span>
      ))}
    </pre>
  );
}

async function takeFile(
  input: HTMLInputElement,
  most: number,
  take: (hex: string) => void,
): Promise<void> {
  const file = input.files?.[0];
  input.value = "";
  if (!file) return;
  if (file.size > most) {
    toast(`${file.name} has ${file.size} bytes; a message has at most ${most}`, "bad");
    return;
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) lines.push(toHex(bytes.subarray(at, at + 16), " "));
  take(lines.join("\n"));
}

interface EditorProps {
  form: Draft["form"];
  text: string;
  read: ReadData;
  /** Errors are shown: not while nothing has been typed. */
  isJudged: boolean;
  /** Bytes that a message may have. */
  most: number;
  onForm: (form: Draft["form"]) => void;
  onText: (text: string) => void;
  onSubmit: () => void;
}

/** What the data is, and what can be done for it. */
function Head(props: EditorProps) {
  const { form, read, onText } = props;
  return (
    <div class="editor-head">
      <label for="data">Data</label>
      <Choice
        label="What the data is"
        name="form"
        value={form}
        options={FORMS}
        onChange={props.onForm}
      />
      {form === "json" ? (
        <button
          type="button"
          class="link"
          disabled={read.error !== undefined}
          onClick={() => onText(JSON.stringify(read.data, null, 2))}
        >
          Indent
        </button>
      ) : null}
      {form === "hex" ? (
        <label class="link file">
          From a file
          <input
            type="file"
            class="offscreen"
            onChange={(event) => void takeFile(event.currentTarget, props.most, onText)}
          />
        </label>
      ) : null}
    </div>
  );
}

function submits(event: KeyboardEvent): boolean {
  return event.key === "Enter" && (event.ctrlKey || event.metaKey);
}

export function DataEditor(props: EditorProps) {
  const { form, text, read, isJudged } = props;
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLPreElement>(null);
  const error = isJudged ? read.error : undefined;
  const place = isJudged ? read.place : undefined;
  const goToError = (): void => {
    if (!area.current || !place) return;
    area.current.focus();
    area.current.setSelectionRange(place.offset, Math.min(place.offset + 1, text.length));
  };
  return (
    <div class="field editor-field">
      <Head {...props} />
      <div class={`editor ${error ? "invalid" : ""}`}>
        <Gutter text={text} bad={place?.line ?? null} of={gutter} />
        <textarea
          id="data"
          ref={area}
          rows={10}
          spellcheck={false}
          autocapitalize="off"
          wrap="off"
          placeholder={PLACEHOLDERS[form]}
          value={text}
          aria-invalid={Boolean(error)}
          aria-describedby="data-note"
          onInput={(event) => props.onText(event.currentTarget.value)}
          onScroll={(event) => {
            if (gutter.current) gutter.current.scrollTop = event.currentTarget.scrollTop;
          }}
          onKeyDown={(event) => {
            if (!submits(event)) return;
            event.preventDefault();
            props.onSubmit();
          }}
        />
      </div>
      <p id="data-note" class={error ? "error" : "hint"} aria-live="polite">
        {error ?? (isJudged && read.warning ? read.warning : "Ctrl and Enter publish.")}
        {place ? (
          <>
            {" "}
            <button type="button" class="link" onClick={goToError}>
              Go there
            </button>
          </>
        ) : null}
      </p>
    </div>
  );
}
