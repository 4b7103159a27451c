/**
 * The broker's HTTP side (SPEC section 7), asked for a client that speaks in envelopes: each request becomes
 * one of HTTP, its answer an `ok` or an `error`. Publications that wait for an answer to earlier ones go
 * together, so that they keep their order.
 */
import { json } from "./json.js";
import type { Envelope, OpenOptions } from "./transport.js";

/** Publications of one request: the broker's bound, and what any broker takes in bytes. */
const BATCH_MAX = 1000;
const BATCH_CHARS_MAX = 60_000;
/** An answer that takes longer will not come, ms. */
const PATIENCE = 30_000;

/** The broker said no. */
export class Refusal extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly retry?: number,
  ) {
    super(message);
  }

  static async of(response: Response): Promise<Refusal> {
    const text = await response.text();
    let message = `HTTP ${response.status}`;
    try {
      message = (JSON.parse(text) as { error: { message: string } }).error.message;
    } catch {
      /* Something between us and the broker has answered. */
    }
    const after = Number(response.headers.get("retry-after"));
    return new Refusal(response.status, message, after > 0 ? after * 1000 : undefined);
  }

  get envelope(): Envelope {
    const { code, message, retry } = this;
    return { op: "error", code, message, ...(retry && { retry }) };
  }
}

/** Requests to where the WebSocket's URL stands: `wss://host/path/ws` is beside `https://host/path/v1/…`. */
export class Http {
  token: string | null;
  private readonly base: URL;

  constructor({ url, token }: OpenOptions) {
    this.token = token;
    this.base = new URL(url);
    this.base.protocol = url.protocol.replace("ws", "http");
    this.base.hash = "";
  }

  fetch(path: string, query: [string, string][], init: RequestInit = {}): Promise<Response> {
    const url = new URL(path, this.base);
    url.search = this.base.search;
    for (const [name, value] of query) url.searchParams.append(name, value);
    const headers = { ...(init.headers as object), ...(this.token && { Authorization: `Bearer ${this.token}` }) };
    return fetch(url, { cache: "no-store", ...init, headers });
  }

  /** One request and its answer, decoded; throws a `Refusal`, or what fetch throws. */
  async ask(path: string, query: [string, string][], init: RequestInit = {}): Promise<unknown> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), PATIENCE);
    try {
      const response = await this.fetch(path, query, { ...init, signal: abort.signal });
      if (!response.ok) throw await Refusal.of(response);
      const text = await response.text();
      return text ? JSON.parse(text) : null;
    } finally {
      clearTimeout(timer);
    }
  }
}

type Result = { pos?: string; duplicate?: boolean; error?: { code: number; message: string; retry?: number } };

/** Publications on their way. */
export class Posts {
  private readonly waiting: { envelope: Envelope; text: string }[] = [];
  private isBusy = false;

  /** `onReply` gets each answer; `onLost` hears once that there will be none. */
  constructor(
    private readonly http: Http,
    private readonly onReply: (request: Envelope, reply: Envelope) => void,
    private readonly onLost: (error: unknown) => void,
  ) {}

  add(envelope: Envelope): void {
    this.waiting.push({ envelope, text: json.encode(envelope) as string });
    if (this.isBusy) return;
    this.isBusy = true;
    /* What is published in one go travels together. */
    queueMicrotask(() => void this.run());
  }

  private async run(): Promise<void> {
    while (this.waiting.length) {
      const batch = this.next();
      try {
        await this.post(batch);
      } catch (error) {
        if (!(error instanceof Refusal)) {
          this.onLost(error);
          return;
        }
        for (const { envelope } of batch) this.onReply(envelope, error.envelope);
      }
    }
    this.isBusy = false;
  }

  private next(): { envelope: Envelope; text: string }[] {
    let chars = 0;
    let count = 0;
    for (const { text } of this.waiting.slice(0, BATCH_MAX)) {
      chars += text.length;
      if (count > 0 && chars > BATCH_CHARS_MAX) break;
      count++;
    }
    return this.waiting.splice(0, count);
  }

  private async post(batch: { envelope: Envelope; text: string }[]): Promise<void> {
    const body = `[${batch.map(({ text }) => text).join()}]`;
    const headers = { "Content-Type": "application/json" };
    const answer = await this.http.ask("v1/publish", [], { method: "POST", body, headers });
    const { results } = answer as { results: Result[] };
    batch.forEach(({ envelope }, i) => {
      const { error, ...rest } = results[i] ?? { error: { code: 500, message: "the answer lacks this one" } };
      this.onReply(envelope, error ? { op: "error", ...error } : { op: "ok", ...rest });
    });
  }
}

/** `history`, `presence` and `ping`. */
export async function question(http: Http, { op, topic, last, since, limit }: Envelope): Promise<Envelope> {
  if (op === "ping") {
    await http.ask("healthz", []);
    return { op: "ok" };
  }
  const query: [string, string][] = [["topic", String(topic)]];
  for (const [name, value] of Object.entries({ last, since, limit })) {
    if (value !== undefined) query.push([name, String(value)]);
  }
  return { op: "ok", ...((await http.ask(`v1/${op}`, query)) as object) };
}
