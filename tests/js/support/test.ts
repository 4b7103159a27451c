/** node:test, with a deadline for each test: what hangs says which one it was, and the others go on. */
import { test as plain, type TestContext } from "node:test";

const TEST_MS = 60_000; // far above the slowest

export function test(name: string, run: (t: TestContext) => void | Promise<void>): void {
  void plain(name, { timeout: TEST_MS }, run);
}
