/** Controls that pages share: buttons with an icon, copying, one of several, labelled fields,
 * empty states. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icons.js";
import { toast } from "./toast.js";

export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: () => void;
  pressed?: boolean;
  class?: string;
}) {
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ""}`}
      aria-label={props.label}
      aria-pressed={props.pressed}
      title={props.label}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  );
}

/** Plain HTTP on another host than localhost has no clipboard API; a selection has always
 * worked. */
async function writeClipboard(value: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = value;
    area.className = "offscreen";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function CopyButton(props: {
  text: string | (() => string);
  label: string;
  children?: ComponentChildren;
}) {
  const [done, setDone] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async (): Promise<void> => {
    const value = typeof props.text === "function" ? props.text() : props.text;
    if (!(await writeClipboard(value))) return toast("The browser did not allow copying.", "bad");
    setDone(true);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setDone(false), 2000);
  };
  const bare = props.children === undefined;
  return (
    <button
      type="button"
      class={bare ? "icon-button" : "button"}
      aria-label={bare ? props.label : undefined}
      title={props.label}
      onClick={() => void copy()}
    >
      <Icon name={done ? "check" : "copy"} />
      {props.children}
    </button>
  );
}

/** One of a few, as a row: radio buttons, so that arrow keys work by themselves. */
export function Choice<T extends string>(props: {
  label: string;
  name: string;
  value: T;
  options: readonly { value: T; text: ComponentChildren }[];
  onChange: (value: T) => void;
}) {
  return (
    <fieldset class="choice">
      <legend class="offscreen">{props.label}</legend>
      {props.options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            class="offscreen"
            name={props.name}
            value={option.value}
            checked={props.value === option.value}
            onChange={() => props.onChange(option.value)}
          />
          <span>{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A label above its control; `error` is tied to it by id, so that it is read with the control. */
export function Field(props: {
  id: string;
  label: string;
  hint?: string;
  error?: string | null;
  class?: string;
  children: ComponentChildren;
}) {
  return (
    <div class={`field ${props.class ?? ""}`}>
      <label for={props.id}>{props.label}</label>
      {props.children}
      {props.error ? (
        <p class="error" id={`${props.id}-error`}>
          {props.error}
        </p>
      ) : props.hint ? (
        <p class="hint" id={`${props.id}-hint`}>
          {props.hint}
        </p>
      ) : null}
    </div>
  );
}

export function Check(props: { label: string; checked: boolean; onChange: (on: boolean) => void }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      {props.label}
    </label>
  );
}

/** What stands where there is nothing yet: why, and what to do. */
export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.children}
    </div>
  );
}

/** A command or a piece of code, with a button that copies it. */
export function Code(props: { text: string; label: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} aria-label={props.label}>
        <code>{props.text}</code>
      </pre>
      <CopyButton text={props.text} label={`Copy: ${props.label}`} />
    </div>
  );
}
