/* The console's beginning: what the broker says about itself. */
import { signal } from "@preact/signals";
import { render } from "preact";
import "./main.css";

/** What GET /console/config.json says. */
interface Config {
  version: string;
  node: string;
  ws: string;
  auth: boolean;
}

const config = signal<Config | null>(null);

function App() {
  return (
    <main>
      <h1>Fantail</h1>
      {config.value && <p>Node {config.value.node}, version {config.value.version}</p>}
    </main>
  );
}

async function start(): Promise<void> {
  render(<App />, document.getElementById("app")!);
  const response = await fetch("/console/config.json");
  config.value = (await response.json()) as Config;
}

void start();
