/** How this page stands with the broker: said in the frame, on every page, and read out when it
 * changes. */
import { Dot } from "../parts/badge.js";
import { duration } from "../parts/format.js";
import { client, downSince, now, reconnect, signIn, state, welcome } from "../store.js";

const GRACE_MS = 1000;

export function Connection() {
  const since = downSince.value;
  const node = welcome.value?.node;
  if (!client.value && signIn.value.asked) {
    return (
      <div class="connection" role="status">
        <Dot tone="plain" />
        <span>Not signed in</span>
      </div>
    );
  }
  if (state.value === "closed" && client.value) {
    return (
      <div class="connection bad" role="status">
        <Dot tone="bad" />
        <span>Ended by the broker</span>
        <button type="button" class="link" onClick={reconnect}>
          Connect again
        </button>
      </div>
    );
  }
  if (since === null) {
    return (
      <div class="connection" role="status">
        <Dot tone="good" />
        <span>
          <span class="wide">Connected to </span>
          <strong>{node}</strong>
        </span>
      </div>
    );
  }
  const beginning = node === undefined && now.value - since < GRACE_MS;
  return (
    <div class={`connection ${beginning ? "" : "bad"}`} role="status">
      <Dot tone={beginning ? "plain" : "bad"} />
      <span>{beginning ? "Connecting" : "Not connected"}</span>
      {beginning ? null : (
        <span class="num" aria-hidden="true">
          {duration(now.value - since)}
        </span>
      )}
    </div>
  );
}
