/** The latest so many of something, oldest first. Its size is bounded from the start. */
export class Ring<T> {
  readonly #items: T[] = [];
  readonly #room: number;
  #start = 0;

  constructor(room: number) {
    this.#room = room;
  }

  get length(): number {
    return this.#items.length;
  }

  push(item: T): void {
    if (this.#items.length < this.#room) {
      this.#items.push(item);
      return;
    }
    this.#items[this.#start] = item;
    this.#start = (this.#start + 1) % this.#room;
  }

  /** 0 is the oldest, -1 the newest. */
  at(index: number): T | undefined {
    const from = index < 0 ? this.#items.length + index : index;
    if (from < 0 || from >= this.#items.length) return undefined;
    return this.#items[(this.#start + from) % this.#room];
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = 0; i < this.#items.length; i++) yield this.at(i) as T;
  }
}
