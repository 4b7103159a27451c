/** A real Chromium without windows, pages in it, and pictures of them. It is the system's own; none is downloaded. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after } from "node:test";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { atEnd, type Scope } from "../../js/support/cleanup.js";
import { Program, ROOT } from "../../js/support/programs.js";
import { until } from "../../js/support/wait.js";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
const SCREENSHOTS = join(ROOT, "build", "screenshots");

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

let running: Promise<Browser> | undefined;

function path(): string {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = ["/usr/bin", ...(process.env.PATH ?? "").split(delimiter)];
  const found = folders.map((folder) => join(folder, "chromium")).find((each) => existsSync(each));
  if (!found) throw new Error("chromium is missing: deploy/setup installs it");
  return found;
}

/** The browser of this test file; it ends with it. */
function browser(): Promise<Browser> {
  running ??= chromium.launch({ executablePath: path(), args: FLAGS });
  return running;
}

after(async () => (await running)?.close());

/**
 * A Chromium of the test's own, without what Playwright switches off for tests: here a tab behind another one is
 * hidden, its timers are slowed down, and it can be frozen.
 */
export async function everyday(scope: Scope): Promise<BrowserContext> {
  const directory = await mkdtemp(join(tmpdir(), "fantail-chromium-"));
  const flags = ["--headless=new", "--remote-debugging-port=0", "--no-first-run", `--user-data-dir=${directory}`];
  const program = new Program(path(), [...FLAGS, ...flags, "about:blank"]);
  atEnd(scope, async () => {
    await program.kill();
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  });
  const address = () => /DevTools listening on (\S+)/.exec(program.stderr)?.[1];
  const connected = await chromium.connectOverCDP(await until(address, "Chromium listens"), { noDefaults: true });
  atEnd(scope, () => connected.close());
  return connected.contexts()[0]!;
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** What the page's scripts threw, and what was written to its console as an error. */
  errors: string[];
}

/** A browser profile of its own: tabs that are opened in it share workers and storage. */
export async function profile(scope: Scope, options: { viewport?: typeof DESKTOP } = {}): Promise<BrowserContext> {
  const context = await (await browser()).newContext({ viewport: options.viewport ?? DESKTOP });
  atEnd(scope, () => context.close());
  return context;
}

/** Opens a page, in the given profile or one of its own. */
export async function visit(
  scope: Scope,
  url: string,
  options: { context?: BrowserContext; viewport?: typeof DESKTOP } = {},
): Promise<Visit> {
  const context = options.context ?? (await profile(scope, options));
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(url);
  return { page, context, errors };
}

/** Takes a picture for people to look at: build/screenshots/NAME.png. */
export async function picture(page: Page, name: string): Promise<string> {
  await mkdir(SCREENSHOTS, { recursive: true });
  const file = join(SCREENSHOTS, `${name}.png`);
  await page.screenshot({ path: file, animations: "disabled" });
  return file;
}
