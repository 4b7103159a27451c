/**
 * The errors of the package. `code` is what the broker said, HTTP's number or a close code, or the
 * one that fits best; programs decide by the class or by `code`, the message is for people.
 */
export class FantailError extends Error {
  override name = "FantailError";
  constructor(
    readonly code: number,
    message: string,
    /** Trying again after so many ms can help. */
    readonly retry?: number,
  ) {
    super(message);
  }
}

/** The client is closed, and does nothing more. */
export class ClosedError extends FantailError {
  override name = "ClosedError";
  constructor(message = "the client is closed") {
    super(503, message);
  }
}

/** No answer came, and none will: what was asked for may have been done, or not. */
export class ConnectionLostError extends FantailError {
  override name = "ConnectionLostError";
  constructor(message = "the connection broke before the broker answered") {
    super(504, message);
  }
}

/** More publications wait for a connection than the queue holds. This one was not taken. */
export class QueueFullError extends FantailError {
  override name = "QueueFullError";
  constructor() {
    super(429, "the queue of publications is full");
  }
}

/** The reader of an iterator was too slow; the subscription has ended. */
export class BufferOverflowError extends FantailError {
  override name = "BufferOverflowError";
  constructor() {
    super(429, "more messages wait for the reader than its buffer holds");
  }
}

export const abortError = (): DOMException =>
  new DOMException("the operation was aborted", "AbortError");
