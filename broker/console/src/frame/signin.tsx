/** The sign-in form. A token goes nowhere but to this broker, and is forgotten when the tab is
 * closed. */
import { useState } from "preact/hooks";
import { Field } from "../parts/controls.js";
import { signIn, signInWith } from "../store.js";

export function SignInForm() {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const given = token.trim();
    if (given === "") return setError("Paste a token.");
    setBusy(true);
    const wrong = await signInWith(given);
    setBusy(false);
    setError(wrong);
  };
  return (
    <form class="signin" onSubmit={(event) => void submit(event)}>
      <h2>Sign in</h2>
      {signIn.value.why === "" ? null : (
        <p class="error" role="alert">
          {signIn.value.why}
        </p>
      )}
      <p>
        This broker wants a JSON Web Token. For figures, topics and sessions it has to say{" "}
        <code>"admin": true</code>.
      </p>
      <Field
        id="token"
        label="Token"
        error={error}
        hint="Kept in this tab only, until it is closed."
      >
        <input
          id="token"
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={token}
          aria-invalid={error !== null}
          aria-describedby={error === null ? "token-hint" : "token-error"}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
      </Field>
      <button type="submit" class="button primary" disabled={busy}>
        Sign in
      </button>
      <details>
        <summary>Where from?</summary>
        <p>From whatever makes the tokens of your application; for a try, on the command line:</p>
        <pre tabIndex={0}>
          <code>
            fantail token --sub me --admin --allow-sub '#' --allow-pub '#' --secret "$SECRET"
          </code>
        </pre>
      </details>
    </form>
  );
}
