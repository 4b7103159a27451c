/** Links to the client's examples, while the demo feed that they live on is running. */
import { useEffect, useState } from "preact/hooks";
import { downSince, getJson, RequestError } from "../store.js";

/** By the build, from the examples themselves. */
declare const EXAMPLES: readonly { path: string; title: string; description: string }[];

const ASK_MS = 5000;

/** Something below `demo/` is being published. */
async function isDemoLive(signal: AbortSignal): Promise<boolean> {
  const answer = (await getJson("/v1/topics?filter=demo/%23&limit=1", signal)) as {
    topics?: { rate?: number }[];
  };
  return (answer.topics?.[0]?.rate ?? 0) > 0;
}

function useDemo(): boolean {
  const [live, setLive] = useState(false);
  useEffect(() => {
    const ending = new AbortController();
    const look = (): void => {
      if (downSince.peek() !== null) return;
      isDemoLive(ending.signal).then(setLive, (error: unknown) => {
        if (!(error instanceof RequestError) && !ending.signal.aborted) throw error;
      });
    };
    look();
    const timer = setInterval(look, ASK_MS);
    return () => {
      clearInterval(timer);
      ending.abort();
    };
  }, []);
  return live;
}

export function Examples() {
  if (!useDemo()) return null;
  return (
    <section class="examples" aria-label="Examples">
      <h2>The demo feed is running. Pages that live on it:</h2>
      <ul>
        {EXAMPLES.map(({ path, title, description }) => (
          <li key={path} class="panel">
            <a href={path}>{title.replace(/ · Fantail$/, "")}</a>
            <p class="hint">{description}</p>
          </li>
        ))}
      </ul>
    </section>
  );
}
