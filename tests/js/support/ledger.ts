/**
 * A ledger of publications: what was accepted, and what a subscriber has seen of it. Each topic's data are the
 * numbers 0, 1, 2, … in the order in which they were published.
 */
export interface Verdict {
  accepted: number;
  lost: number;
  doubled: number;
  reordered: number;
  /** Seen, but never accepted. */
  strange: number;
}

export class Ledger {
  private readonly counts = new Map<string, number>();
  private readonly unknown = new Set<string>();

  /** The next number of a topic, which the caller publishes; then it says what came of it. */
  next(topic: string): number {
    return this.counts.get(topic) ?? 0;
  }

  accept(topic: string, count = 1): void {
    this.counts.set(topic, this.next(topic) + count);
  }

  /** These may have been accepted: nobody got to know. */
  doubt(topic: string, count = 1): void {
    const first = this.next(topic);
    for (let number = first; number < first + count; number++) this.unknown.add(`${topic} ${number}`);
    this.accept(topic, count);
  }

  /** How many were accepted in all. */
  get accepted(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, -this.unknown.size);
  }

  /** Compares with what was seen, in its order. */
  judge(seen: Iterable<readonly [topic: string, number: number]>): Verdict {
    const verdict = { accepted: this.accepted, lost: 0, doubled: 0, reordered: 0, strange: 0 };
    const numbers = new Map<string, Set<number>>();
    const latest = new Map<string, number>();
    for (const [topic, number] of seen) {
      const known = numbers.get(topic) ?? new Set();
      numbers.set(topic, known);
      if (!(number >= 0 && number < this.next(topic))) verdict.strange += 1;
      else if (known.has(number)) verdict.doubled += 1;
      else if (number < (latest.get(topic) ?? -1)) verdict.reordered += 1;
      known.add(number);
      latest.set(topic, Math.max(number, latest.get(topic) ?? -1));
    }
    for (const [topic, count] of this.counts) {
      for (let number = 0; number < count; number++) {
        const isThere = numbers.get(topic)?.has(number) || this.unknown.has(`${topic} ${number}`);
        if (!isThere) verdict.lost += 1;
      }
    }
    return verdict;
  }
}

/** What a ledger says when all is well. */
export function whole(ledger: Ledger): Verdict {
  return { accepted: ledger.accepted, lost: 0, doubled: 0, reordered: 0, strange: 0 };
}
