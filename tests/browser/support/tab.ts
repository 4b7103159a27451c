/** A tab with a client in it: what the test asks of `probe` (page.ts), and waits for. */
import type { BrowserContext, Page } from "playwright-core";
import type { Broker } from "../../js/support/broker.js";
import type { Scope } from "../../js/support/cleanup.js";
import { whole, type Ledger, type Verdict } from "../../js/support/ledger.js";
import { until } from "../../js/support/wait.js";
import { visit } from "./chromium.js";
import type { Followed, PageOptions } from "./page.js";
import type { Site } from "./site.js";

/** Pauses between attempts, so that tests need not wait. */
const BACKOFF = { min: 10, max: 100 };

export class Tab {
  private constructor(
    readonly page: Page,
    /** What its scripts threw. Refused connections are not among them: the browser logs those. */
    readonly thrown: string[],
  ) {}

  static async open(scope: Scope, site: Site, context?: BrowserContext): Promise<Tab> {
    const { page } = await visit(scope, "about:blank", context ? { context } : {});
    const thrown: string[] = [];
    page.on("pageerror", (error) => thrown.push(String(error)));
    // What esbuild has its functions named by, where it runs the test.
    await page.addInitScript("globalThis.__name = (f) => f");
    await page.goto(site.origin);
    return new Tab(page, thrown);
  }

  /** Connects, and waits until it is open. */
  async connect(url: string, options: PageOptions = {}): Promise<void> {
    await this.begin(url, options);
    await this.isIn("open");
  }

  async begin(url: string, options: PageOptions = {}): Promise<void> {
    await this.page.evaluate(([url, options]) => probe.connect(url, options), [url, { backoff: BACKOFF, ...options }] as const);
  }

  follow(filters: string | string[], options: { last?: number; every?: number } = {}) {
    return this.page.evaluate(([filters, options]) => probe.follow(filters, options), [filters, options] as const);
  }

  state(): Promise<string> {
    return this.page.evaluate(() => probe.client.state);
  }

  async isIn(state: string, deadlineMs?: number): Promise<void> {
    await until(async () => (await this.state()) === state, `the tab's client is ${state}`, deadlineMs);
  }

  async leaves(state: string, deadlineMs?: number): Promise<void> {
    await until(async () => (await this.state()) !== state, `the tab's client is not ${state}`, deadlineMs);
  }

  record(number = 0): Promise<Followed> {
    return this.page.evaluate((number) => probe.record(number), number);
  }

  sessions(): Promise<string[]> {
    return this.page.evaluate(() => probe.sessions);
  }

  async has(count: number, number = 0): Promise<void> {
    const have = () => this.page.evaluate((number) => probe.count(number), number);
    await until(async () => (await have()) >= count, `${count} messages`, 30_000);
  }

  async isResumed(times: number, number = 0): Promise<void> {
    await until(async () => (await this.record(number)).recovered >= times, `it was resumed ${times} times`);
  }

  /** Waits for all of a ledger, and gives what is wrong with it beside what it should be. */
  async judge(ledger: Ledger, number = 0): Promise<[Verdict, Verdict]> {
    await this.has(ledger.accepted, number);
    const { seen } = await this.record(number);
    return [ledger.judge(seen as [string, number][]), whole(ledger)];
  }
}

/** Sessions that brokers have, of all kinds. */
export async function sessions(...brokers: Broker[]): Promise<number> {
  const all = await Promise.all(brokers.map((broker) => broker.stats()));
  return all.reduce((sum, { sessions: { json, msgpack, events } }) => sum + json + msgpack + events, 0);
}
