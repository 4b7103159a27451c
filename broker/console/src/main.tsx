/** The console's beginning: everything that is shown hangs on the frame. */
import { render } from "preact";
import { App } from "./app.js";
import { listen } from "./overview/figures.js";
import { start } from "./store.js";
import "./style.css";

const root = document.getElementById("app");
if (root) render(<App />, root);
listen();
void start();
