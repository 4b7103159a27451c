/** A broker without a network: WebSockets whose other end is the test, which sees each envelope and says each answer. */
import assert from "node:assert/strict";
import { connect, type Client, type ConnectOptions, type Message } from "../../../clients/js/src/index.js";
import { atEnd, type Scope } from "./cleanup.js";
import { until } from "./wait.js";

export interface Sent {
  op: string;
  id?: number;
  topics?: string[];
  since?: string[];
  [key: string]: unknown;
}

export class FakeSocket {
  binaryType = "";
  readyState = 0;
  /** What the client closed it with. */
  closed: number | undefined;
  onmessage: ((event: { data: unknown }) => void) | undefined;
  onerror: ((event: { message?: string }) => void) | undefined;
  onclose: ((event: { code: number; reason: string }) => void) | undefined;
  readonly sent: Sent[] = [];
  private taken = 0;

  constructor(
    readonly url: URL,
    readonly protocols: string[],
  ) {}

  send(text: string): void {
    assert.equal(this.readyState, 1, "nothing is sent to a socket that is not open");
    this.sent.push(JSON.parse(text) as Sent);
  }

  close(code?: number): void {
    this.closed ??= code;
    this.readyState = 3;
  }

  /** Says welcome. */
  welcome(more: object = {}): this {
    this.readyState = 1;
    return this.say({
      ...{ op: "welcome", version: 1, session: "s", node: "n", user: null, ping: 25 },
      ...{ limits: { message: 65536, topics: 1024, queue: 1048576 } },
      ...more,
    });
  }

  say(envelope: unknown): this {
    this.onmessage?.({ data: typeof envelope === "string" ? envelope : JSON.stringify(envelope) });
    return this;
  }

  msg(topic: string, pos: string | undefined, data: unknown = null, more: object = {}): this {
    return this.say({ op: "msg", topic, data, pos, at: 1, ...more });
  }

  ok(request: Sent, more: object = {}): this {
    return this.say({ op: "ok", id: request.id, ...more });
  }

  refuse(request: Sent, code: number, more: object = {}): this {
    return this.say({ op: "error", id: request.id, code, message: `refused ${code}`, ...more });
  }

  /** The connection ends, as the client sees it. */
  end(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** Returns the next envelopes that the client has sent, `n` of them, once they are there. */
  async take(n: number): Promise<Sent[]> {
    await until(
      () => this.sent.length >= this.taken + n,
      () => `${n} envelopes, of ${JSON.stringify(this.sent)}`,
    );
    this.taken += n;
    return this.sent.slice(this.taken - n, this.taken);
  }

  async one(): Promise<Sent> {
    return (await this.take(1))[0] as Sent;
  }

  /** Says that the client has sent nothing that was not taken. */
  async assertQuiet(): Promise<void> {
    await turn();
    assert.deepEqual(this.sent.slice(this.taken), []);
  }
}

/** Lets everything happen that waits for nothing. */
export const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

export interface Fake {
  client: Client;
  sockets: FakeSocket[];
  errors: Error[];
  states: string[];
  /** The next socket that the client has made. */
  socket(): Promise<FakeSocket>;
  /** The same, after it said welcome. */
  open(more?: object): Promise<FakeSocket>;
}

export function fake(scope: Scope, options: ConnectOptions = {}): Fake {
  const sockets: FakeSocket[] = [];
  class Socket extends FakeSocket {
    constructor(url: URL, protocols: string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  const client = connect("ws://127.0.0.1:1", {
    WebSocket: Socket,
    transports: ["websocket"],
    backoff: { min: 1, max: 2 },
    ...options,
  });
  atEnd(scope, () => client.close());
  const made: Fake = { client, sockets, errors: [], states: [], socket, open };
  client.on("error", (error) => made.errors.push(error));
  client.on("state", (state) => made.states.push(state));
  let seen = 0;
  async function socket(): Promise<FakeSocket> {
    const next = await until(() => sockets[seen], "a connection");
    seen++;
    return next;
  }
  async function open(more?: object): Promise<FakeSocket> {
    return (await socket()).welcome(more);
  }
  return made;
}

/** Collects what handlers are told: `pos` of messages, and the names of other events with what they say. */
export class Diary {
  readonly lines: string[] = [];

  readonly options = {
    onMessage: (message: Message): void => void this.lines.push(message.pos ?? message.topic),
    onGap: (gap: object): void => void this.lines.push(`gap ${JSON.stringify(gap)}`),
    onRecovered: (): void => void this.lines.push("recovered"),
    onError: (error: Error): void => void this.lines.push(`error ${(error as { code?: number }).code}`),
  };

  /** Returns what was told since the last time. */
  read(): string[] {
    return this.lines.splice(0);
  }
}
