/** What axe-core, the checker of accessibility, has against a page: at each of two sizes, in light and dark. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { DESKTOP, PHONE } from "./chromium.js";

interface Violation {
  id: string;
  help: string;
  nodes: { html: string; failureSummary?: string }[];
}
declare global {
  interface Window {
    axe: { run(): Promise<{ violations: Violation[]; passes: unknown[] }> };
  }
}

const source = readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Fails where the page, as it stands, breaks a rule. It is put in as the browser's own: past the page's policy. */
export async function accessible(page: Page): Promise<void> {
  await page.evaluate(await source);
  const { violations, passes } = await page.evaluate(async () => {
    const { violations, passes } = await window.axe.run();
    return { violations, passes: passes.length };
  });
  assert.ok(passes > 0, "axe has looked at something");
  const found = violations.map((each) => `${each.id}: ${each.help}\n    ${each.nodes[0]?.html}`);
  assert.deepEqual(found, [], `${page.url()}\n${found.join("\n")}`);
}

/** Looks at the page at each size and in each scheme, and that it does not scroll sideways. */
export async function accessibleEverywhere(page: Page): Promise<void> {
  const before = page.viewportSize() ?? DESKTOP;
  for (const [size, colorScheme] of [[DESKTOP, "light"], [PHONE, "dark"], [PHONE, "light"], [DESKTOP, "dark"]] as const) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    await accessible(page);
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide! <= room!, `${page.url()} is ${wide} pixels wide at ${size.width}`);
  }
  await page.setViewportSize(before);
}
