/** Waiting for what tells nobody: a condition, a deadline, and a pace between two looks. */

const PACE_MS = 10;
const DEADLINE_MS = 15_000; // far above what anything takes on a busy machine

/** Lets some time pass. For what goes on at a rate, never in order to wait for something. */
export function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** Returns the condition's first true value; fails, naming `what`, when it does not come. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string | (() => string | Promise<string>),
  deadlineMs = DEADLINE_MS,
): Promise<NonNullable<T>> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value as NonNullable<T>;
    if (performance.now() > end) {
      throw new Error(`${typeof what === "string" ? what : await what()}: not within ${deadlineMs} ms`);
    }
    await pause(PACE_MS);
  }
}

/** Returns what the promise comes to; fails, naming `what`, when that does not come in time. */
export async function within<T>(promise: Promise<T>, what: string, deadlineMs = DEADLINE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what}: not within ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
