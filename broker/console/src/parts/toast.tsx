/** Short notices at the edge, read out once: what happened to something that was just asked for. */
import { signal } from "@preact/signals";
import { Icon } from "./icons.js";

type Kind = "good" | "bad" | "note";
interface Notice {
  id: number;
  text: string;
  kind: Kind;
}

const AT_ONCE = 3;
const notices = signal<readonly Notice[]>([]);
let count = 0;

function drop(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Stays long enough to be read; what failed stays until it is closed or pushed out by newer
 * ones. */
export function toast(text: string, kind: Kind = "note"): void {
  const id = ++count;
  notices.value = [...notices.value, { id, text, kind }].slice(-AT_ONCE);
  if (kind !== "bad") setTimeout(() => drop(id), 4000 + 40 * text.length);
}

export function Toasts() {
  return (
    <div class="toasts" role="status">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`toast ${notice.kind}`}>
          <span>{notice.text}</span>
          <button
            type="button"
            class="icon-button"
            aria-label="Close notice"
            onClick={() => drop(notice.id)}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
