/** The programs that tests start: where they are, and what they find in their environment. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

const SANITIZER = /ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:/;
const START_MS = 20_000; // a cold start under AddressSanitizer on a busy machine takes 2
const GONE_MS = 10_000; // two seconds for its clients, and a search for leaks

/** The path of a built program: the environment's, else asan's, else the release. */
export function program(name: string): string {
  const chosen = process.env[name.toUpperCase()];
  if (chosen) return chosen;
  const asan = `${ROOT}build/asan/${name}`;
  return existsSync(asan) ? asan : `${ROOT}build/${name}`;
}

function environment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    ASAN_OPTIONS: "detect_leaks=1:quarantine_size_mb=8",
    UBSAN_OPTIONS: "print_stacktrace=1",
  };
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith("FANTAIL") && name !== "NODE_OPTIONS") env[name] = value;
  }
  return env;
}

/** A running program: its lines on stdout, and what it says on stderr. */
export class Program {
  readonly process: ChildProcess;
  stderr = "";
  private readonly lines: string[] = [];
  private readonly gone: Promise<unknown>;
  private news: (() => void)[] = [];

  constructor(command: string, args: string[]) {
    this.process = spawn(command, args, { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
    this.gone = once(this.process, "close").then(() => this.tell());
    this.process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    createInterface(this.process.stdout!).on("line", (line) => {
      this.lines.push(line);
      this.tell();
    });
  }

  private tell(): void {
    for (const wake of this.news.splice(0)) wake();
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** The first line of stdout that matches. */
  async line(pattern: RegExp): Promise<RegExpMatchArray> {
    const end = performance.now() + START_MS;
    for (;;) {
      const found = this.lines.map((line) => line.match(pattern)).find(Boolean);
      if (found) return found;
      const left = end - performance.now();
      if (this.ended || left <= 0) {
        throw new Error(`${this.process.spawnfile}: no line like ${pattern}\n${this.stderr}`);
      }
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, left);
        this.news.push(() => (clearTimeout(timer), wake()));
      });
    }
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.gone;
  }

  /** Ends it as an operator would; fails unless it ends well, and in time. */
  async stop(): Promise<void> {
    const late = setTimeout(() => this.process.kill("SIGABRT"), GONE_MS);
    this.process.kill("SIGTERM");
    await this.gone;
    clearTimeout(late);
    const { exitCode, signalCode } = this.process;
    if (exitCode !== 0 || SANITIZER.test(this.stderr)) {
      throw new Error(`${this.process.spawnfile} ended with ${exitCode ?? signalCode}:\n${this.stderr}`);
    }
  }
}
