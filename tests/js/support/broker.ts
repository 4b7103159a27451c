/** Brokers as processes: started with options, asked over HTTP, killed, started again, judged by their exit. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd, type Scope } from "./cleanup.js";
import { Program, program } from "./programs.js";
import { until } from "./wait.js";

const READY = /^fantaild \S+ ready at http:\/\/(?<host>\S+):(?<port>\d+)\/ /;

export interface BrokerOptions {
  workers?: number;
  settings?: Record<string, string | number>;
  args?: string[];
  /** A configuration file's text, for policies by topic. */
  file?: string;
}

export interface Publication {
  topic: string;
  data: unknown;
  retain?: boolean;
  key?: string;
}

/** What `GET /v1/stats` says, as far as tests look at it. */
export interface Stats {
  connections: number;
  sessions: { json: number; msgpack: number; events: number };
  sessions_opened: { json: number; msgpack: number; events: number };
  subscriptions: number;
  deliveries: { json: number; msgpack: number; events: number };
  gaps: { slow: number; expired: number; relay: number };
  parkings: number;
}

/** Writes a file for as long as the test lasts; returns its path. */
async function written(scope: Scope, text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "fantail-test-"));
  atEnd(scope, () => rm(directory, { recursive: true }));
  const path = join(directory, "fantail.conf");
  await writeFile(path, text);
  return path;
}

export class Broker {
  port = 0;
  private running: Program;

  private constructor(private readonly args: string[]) {
    this.running = new Program(program("fantaild"), args);
  }

  /** Starts one on a free port. */
  static async start(scope: Scope, options: BrokerOptions = {}): Promise<Broker> {
    const args = ["--listen", "127.0.0.1:0", "--workers", String(options.workers ?? 1)];
    for (const [name, value] of Object.entries(options.settings ?? {})) {
      args.push("--set", `${name}=${value}`);
    }
    if (options.file) args.push("-c", await written(scope, options.file));
    const broker = new Broker([...args, ...(options.args ?? [])]);
    atEnd(scope, () => broker.stop());
    await broker.ready();
    return broker;
  }

  private async ready(): Promise<void> {
    this.port = Number((await this.running.line(READY)).groups!.port);
  }

  get http(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get ws(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  get stderr(): string {
    return this.running.stderr;
  }

  /** Ends it as a power cut would: no close frame, and nothing of the journal is left. */
  kill(): Promise<void> {
    return this.running.kill();
  }

  /** Starts it again, with the same options. It has another port: put a Link in front of it. */
  async restart(): Promise<void> {
    if (!this.running.ended) await this.running.stop();
    this.running = new Program(program("fantaild"), this.args);
    await this.ready();
  }

  /** Ends it in order, unless it was killed. */
  async stop(): Promise<void> {
    if (!this.running.ended || this.running.process.signalCode !== "SIGKILL") await this.running.stop();
  }

  /** GET: status and body, decoded where it is JSON. */
  async get(path: string, token?: string): Promise<{ status: number; body: unknown }> {
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(this.http + path, { headers });
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.startsWith("application/json");
    return { status: answer.status, body: isJson ? JSON.parse(text) : text };
  }

  /** POST of JSON: status and decoded body. */
  async post(path: string, body: unknown, token?: string): Promise<{ status: number; body: unknown }> {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(this.http + path, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: answer.status, body: await answer.json() };
  }

  /** Publishes, one or many at once; fails unless all are accepted. Returns the positions. */
  async publish(what: Publication | Publication[], token?: string): Promise<string[]> {
    const { status, body } = await this.post("/v1/publish", what, token);
    const results = Array.isArray(what) ? (body as { results?: unknown[] }).results : [body];
    if (status !== 200 || !results) throw new Error(`publish: ${status} ${JSON.stringify(body)}`);
    return results.map((result) => {
      const { pos, error } = result as { pos?: string; error?: unknown };
      if (error) throw new Error(`publish: ${JSON.stringify(error)}`);
      return pos ?? "";
    });
  }

  async stats(token?: string): Promise<Stats> {
    const { status, body } = await this.get("/v1/stats", token);
    if (status !== 200) throw new Error(`stats: ${status} ${JSON.stringify(body)}`);
    return body as Stats;
  }

  /** Waits until /readyz says so: in a cluster a node listens before it takes publications. */
  async waitReady(): Promise<void> {
    await until(async () => (await this.get("/readyz")).status === 200, "the node is ready");
  }
}
