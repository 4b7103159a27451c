/** What a test has begun ends with it, the latest first. */

/** A test's context, or node:test itself for what lasts as long as a file. */
export interface Scope {
  after(end: () => Promise<void>): void;
}

type End = () => unknown;

const ends = new WeakMap<Scope, End[]>();

/** Has `end` called when the test is over, before what was asked for earlier. */
export function atEnd(scope: Scope, end: End): void {
  const known = ends.get(scope);
  if (known) {
    known.push(end);
    return;
  }
  const all = [end];
  ends.set(scope, all);
  scope.after(async () => {
    const failures: unknown[] = [];
    for (const each of all.reverse()) {
      try {
        await each();
      } catch (error) {
        failures.push(error); // and the others still end
      }
    }
    if (failures.length) throw failures[0];
  });
}
