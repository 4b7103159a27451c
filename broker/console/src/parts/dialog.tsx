/** Modal dialogs on the browser's own <dialog>: it keeps the focus inside, and gives it back. */
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { IconButton } from "./controls.js";

let ids = 0;

export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useRef(`dialog-${++ids}`);
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={id.current}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current) props.onClose();
      }}
    >
      <div class="dialog-body">
        <header>
          <h2 id={id.current}>{props.title}</h2>
          <IconButton icon="close" label="Close" onClick={props.onClose} />
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

interface Question {
  title: string;
  text: string;
  /** What the button that does it says: a verb. */
  action: string;
  answer: (yes: boolean) => void;
}

const question = signal<Question | null>(null);

/** Asks before something that cannot be taken back. Only one question is open at a time. */
export function ask(title: string, text: string, action: string): Promise<boolean> {
  question.value?.answer(false);
  return new Promise((resolve) => {
    question.value = {
      title,
      text,
      action,
      answer: (yes) => {
        question.value = null;
        resolve(yes);
      },
    };
  });
}

/** Where `ask` shows itself; the frame holds it once. */
export function Asking() {
  const asked = question.value;
  if (!asked) return null;
  return (
    <Dialog title={asked.title} onClose={() => asked.answer(false)}>
      <p>{asked.text}</p>
      <div class="actions">
        <button type="button" class="button" onClick={() => asked.answer(false)}>
          Cancel
        </button>
        <button type="button" class="button danger" onClick={() => asked.answer(true)}>
          {asked.action}
        </button>
      </div>
    </Dialog>
  );
}
