/**
 * What is kept of an endless feed: the latest items, bounded by their number and by the bytes that
 * they are said to take. Each item has a number that never changes, so that a view which is
 * scrolled to one stays there while others come and go.
 */
export class Ring<T> {
  readonly #slots: (T | undefined)[] = [];
  readonly #sizes: number[] = [];
  readonly #capacity: number;
  readonly #maxBytes: number;
  #first = 0;
  #end = 0;
  #bytes = 0;

  constructor(capacity: number, maxBytes = Infinity) {
    this.#capacity = capacity;
    this.#maxBytes = maxBytes;
  }

  /** The number of the oldest item that is kept. */
  get first(): number {
    return this.#first;
  }

  /** The number that the next item gets. */
  get end(): number {
    return this.#end;
  }

  get length(): number {
    return this.#end - this.#first;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds an item, which is kept even where it alone is over the bound. Returns its number. */
  push(item: T, bytes: number): number {
    if (this.length === this.#capacity) this.#drop();
    const slot = this.#end % this.#capacity;
    this.#slots[slot] = item;
    this.#sizes[slot] = bytes;
    this.#bytes += bytes;
    this.#end += 1;
    while (this.#bytes > this.#maxBytes && this.length > 1) this.#drop();
    return this.#end - 1;
  }

  /** The item of that number, while it is kept. */
  at(number: number): T | undefined {
    if (number < this.#first || number >= this.#end) return undefined;
    return this.#slots[number % this.#capacity];
  }

  size(number: number): number {
    return this.#sizes[number % this.#capacity] ?? 0;
  }

  /** Forgets all; numbers go on. */
  clear(): void {
    this.#slots.length = 0;
    this.#sizes.length = 0;
    this.#first = this.#end;
    this.#bytes = 0;
  }

  /** Forgets the oldest one. */
  shift(): void {
    if (this.length > 0) this.#drop();
  }

  #drop(): void {
    const slot = this.#first % this.#capacity;
    this.#slots[slot] = undefined;
    this.#bytes -= this.#sizes[slot] ?? 0;
    this.#first += 1;
  }
}
