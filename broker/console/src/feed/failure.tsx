/**
 * What went wrong, in words: of requests that were refused, and of those that need another token.
 */
import type { ComponentChildren } from "preact";
import { Empty } from "../parts/controls.js";
import { askToSignIn, RequestError } from "../store.js";

export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as { code?: unknown }).code;
  return typeof code === "number" ? `${code}: ${error.message}` : error.message;
}

/** In place of what an admin would see. */
function AdminsOnly(props: { what: string }) {
  return (
    <Empty title={`${props.what} are for admins`}>
      <p>
        Your credentials do not say so. The token lacks the claim{" "}
        <code>{'"fantail": {"admin": true}'}</code>.
      </p>
      <p>
        <button type="button" class="button" onClick={askToSignIn}>
          Sign in with another token
        </button>
      </p>
    </Empty>
  );
}

/** Shows why something could not be fetched. `what` is a plural: “Sessions”. */
export function Failure(props: {
  what: string;
  error: unknown;
  onRetry: () => void;
  children?: ComponentChildren;
}) {
  const { error, what } = props;
  if (error instanceof RequestError && error.status === 403) return <AdminsOnly what={what} />;
  const code = error instanceof RequestError && error.status > 0 ? ` (${error.status})` : "";
  return (
    <div class="empty" role="alert">
      <p class="empty-title">
        {what} cannot be shown{code}
      </p>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      <p>
        <button type="button" class="button" onClick={props.onRetry}>
          Try again
        </button>
      </p>
    </div>
  );
}
