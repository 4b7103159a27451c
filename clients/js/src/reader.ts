/** The iterator of a subscription: what comes waits here, up to a bound, until it is read. */
import { BufferOverflowError } from "./errors.js";
import type { Gap, Message } from "./types.js";

export interface ReaderOptions {
  buffer: number;
  isDropping: boolean;
  onGap(gap: Gap): void;
  /** The reader has left, or was too slow. */
  onEnd(error?: Error): void;
}

export class Reader<T> implements AsyncIterator<Message<T>, undefined> {
  readonly waiting: Message<T>[] = [];
  private readonly readers: ((result: Promise<IteratorResult<Message<T>, undefined>>) => void)[] = [];
  private dropped = 0;
  private isOver = false;
  private error: Error | undefined;

  constructor(private readonly options: ReaderOptions) {}

  push(message: Message<T>): void {
    const reader = this.readers.shift();
    if (reader) {
      reader(Promise.resolve({ value: message, done: false }));
    } else if (this.waiting.length < this.options.buffer) {
      this.waiting.push(message);
    } else if (this.options.isDropping) {
      this.waiting.shift();
      this.waiting.push(message);
      this.dropped++;
    } else {
      this.options.onEnd(new BufferOverflowError());
    }
  }

  /** Nothing more comes: what waits is still read, then the error is thrown, if there is one. */
  end(error?: Error): void {
    if (this.isOver) return;
    this.isOver = true;
    this.error = error;
    for (const reader of this.readers.splice(0)) reader(this.next());
  }

  next(): Promise<IteratorResult<Message<T>, undefined>> {
    const lost = this.dropped;
    this.dropped = 0;
    if (lost) this.options.onGap({ reason: "buffer", lost });
    const message = this.waiting.shift();
    if (message) return Promise.resolve({ value: message, done: false });
    const error = this.error;
    this.error = undefined;
    if (error) return Promise.reject(error);
    if (this.isOver) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.readers.push(resolve));
  }

  return(): Promise<IteratorResult<Message<T>, undefined>> {
    this.waiting.length = 0;
    this.options.onEnd();
    return Promise.resolve({ value: undefined, done: true });
  }
}
