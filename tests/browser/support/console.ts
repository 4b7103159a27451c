/** The console's pages, opened as a person would have them: at an address, with a token or without. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { dirname } from "node:path";
import type { Page } from "playwright-core";
import type { Scope } from "../../js/support/cleanup.js";
import { program } from "../../js/support/programs.js";
import { until } from "../../js/support/wait.js";
import { DESKTOP, profile } from "./chromium.js";

interface Options {
  token?: string;
  viewport?: typeof DESKTOP;
}

/** Opens a page by its hash. `errors` has what went wrong in it by then; the caller looks. */
export async function openPage(
  scope: Scope,
  origin: string,
  hash: string,
  { token, viewport = DESKTOP }: Options = {},
): Promise<{ page: Page; errors: string[] }> {
  const context = await profile(scope, { viewport });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  if (token) {
    await context.addInitScript((value) => sessionStorage.setItem("fantail.token", value), token);
  }
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${origin}/${hash}`);
  return { page, errors };
}

/** The texts of the rows in sight, from the top. */
export async function rowTexts(page: Page, part = ""): Promise<string[]> {
  return page.$$eval(
    ".rows .row:not([hidden])",
    (rows, selector) =>
      rows
        .map((row) => ({ top: row.getBoundingClientRect().top, row }))
        .sort((a, b) => a.top - b.top)
        .map(({ row }) => (selector ? row.querySelector(selector) : row)?.textContent ?? ""),
    part,
  );
}

/** Elements of rows that the page has, in sight or not: it must not have many. */
export function rowElements(page: Page): Promise<number> {
  return page.locator(".rows .row").count();
}

/** What the tool is given in the dialog that is open. */
export async function codeOf(page: Page, tool: string): Promise<string> {
  await page.locator("dialog").getByText(tool, { exact: true }).click();
  await page.locator("dialog .code").getByRole("button").click();
  const code = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(code.trim(), (await page.locator("dialog .code pre").innerText()).trim());
  return code;
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${dirname(program("fantail"))}:${process.env.PATH}` };
}

/** Runs a command as it was copied, until it has written this; then ends it. */
export async function shellUntil(command: string, text: string): Promise<void> {
  const running = spawn("sh", ["-c", `exec ${command}`], { env: environment(), stdio: ["ignore", "pipe", "ignore"] });
  let written = "";
  running.stdout.on("data", (more) => (written += String(more)));
  try {
    await until(
      () => written.includes(text),
      () => `${command} has written ${written}`,
    );
  } finally {
    running.kill();
  }
}

/** Runs a command as it was copied, and returns what it wrote. */
export function shell(command: string): string {
  const env = environment();
  return execFileSync("sh", ["-c", command], { env, timeout: 20_000, stdio: "pipe" }).toString();
}
