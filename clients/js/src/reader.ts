/** The iterator of a subscription: what comes waits here, up to a bound, until it is read. */
import { BufferOverflowError } from "./errors.js";
import type { Gap, Message } from "./types.js";

export interface ReaderOptions {
  buffer_: number;
  isDropping_: boolean;
  onGap_(gap: Gap): void;
  /** The reader has left, or was too slow. */
  onEnd_(error?: Error): void;
}

export class Reader<T> implements AsyncIterator<Message<T>, undefined> {
  readonly waiting_: Message<T>[] = [];
  private readonly readers_: ((result: Promise<IteratorResult<Message<T>, undefined>>) => void)[] =
    [];
  private dropped_ = 0;
  private isOver_ = false;
  private error_: Error | undefined;

  constructor(private readonly options_: ReaderOptions) {}

  push_(message: Message<T>): void {
    const reader = this.readers_.shift();
    if (reader) {
      reader(Promise.resolve({ value: message, done: false }));
    } else if (this.waiting_.length < this.options_.buffer_) {
      this.waiting_.push(message);
    } else if (this.options_.isDropping_) {
      this.waiting_.shift();
      this.waiting_.push(message);
      this.dropped_++;
    } else {
      this.options_.onEnd_(new BufferOverflowError());
    }
  }

  /** Nothing more comes: what waits is still read, then the error is thrown, if there is one. */
  end_(error?: Error): void {
    if (this.isOver_) return;
    this.isOver_ = true;
    this.error_ = error;
    for (const reader of this.readers_.splice(0)) reader(this.next());
  }

  next(): Promise<IteratorResult<Message<T>, undefined>> {
    const lost = this.dropped_;
    this.dropped_ = 0;
    if (lost) this.options_.onGap_({ reason: "buffer", lost });
    const message = this.waiting_.shift();
    if (message) return Promise.resolve({ value: message, done: false });
    const error = this.error_;
    this.error_ = undefined;
    if (error) return Promise.reject(error);
    if (this.isOver_) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.readers_.push(resolve));
  }

  return(): Promise<IteratorResult<Message<T>, undefined>> {
    this.waiting_.length = 0;
    this.options_.onEnd_();
    return Promise.resolve({ value: undefined, done: true });
  }
}
