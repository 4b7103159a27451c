/**
 * One `GET /v1/events`, read with fetch, so that a refusal is seen with its status and a header can carry the
 * token. Knows how events are written, not what they mean.
 */
import type { Http } from "./events-http.js";
import { Refusal } from "./events-http.js";
import type { Envelope } from "./transport.js";

export interface StreamHandlers {
  /** An envelope; `bye` is the last one. */
  onEnvelope(envelope: Envelope): void;
  /** Everything that the stream looks back on has come: it said so, or had nothing to say for a while. */
  onIdle(): void;
  /** It is over: a `Refusal` where it never began. Not after `close()`. */
  onEnd(error: Error): void;
}

export interface StreamRequest {
  topics: readonly string[];
  since?: readonly string[];
  last?: number;
  every?: number;
}

/** Cuts text into events as it comes: the fields of each, or null for a comment. */
export class EventReader {
  private rest = "";
  private fields: Record<string, string> = {};

  constructor(private readonly onEvent: (fields: Record<string, string> | null) => void) {}

  read(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() as string;
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  private line(line: string): void {
    if (line === "") {
      const { fields } = this;
      this.fields = {};
      if (Object.keys(fields).length) this.onEvent(fields);
    } else if (line[0] === ":") {
      this.onEvent(null);
    } else {
      const colon = line.indexOf(":");
      const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
      this.fields[name] = value.startsWith(" ") ? value.slice(1) : value;
    }
  }
}

export class Stream {
  /** When something came last, unix ms. */
  heard = Date.now();
  private readonly abort = new AbortController();

  constructor(
    http: Http,
    request: StreamRequest,
    private readonly handlers: StreamHandlers,
  ) {
    this.run(http, request).catch((error) => {
      if (!this.abort.signal.aborted) handlers.onEnd(error as Error);
    });
  }

  close(): void {
    this.abort.abort();
  }

  private async run(http: Http, { topics, since, last, every }: StreamRequest): Promise<void> {
    const query: [string, string][] = topics.map((topic) => ["topic", topic]);
    if (since?.length) query.push(["since", since.join(",")]);
    if (last) query.push(["last", String(last)]);
    if (every) query.push(["every", String(every)]);
    const response = await http.fetch("v1/events", query, { signal: this.abort.signal });
    if (!response.ok || !response.body) throw await Refusal.of(response);
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const events = new EventReader((fields) => this.take(fields));
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the event stream ended");
      this.heard = Date.now();
      events.read(decoder.decode(value, { stream: true }));
    }
  }

  private take(fields: Record<string, string> | null): void {
    if (this.abort.signal.aborted) return;
    if (fields?.data === undefined) this.handlers.onIdle();
    else this.handlers.onEnvelope(JSON.parse(fields.data) as Envelope);
  }
}
