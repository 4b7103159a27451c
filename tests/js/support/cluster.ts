/** Two nodes that are one broker, and a Redis of their own: in a directory, at a Unix socket. */
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Broker, type BrokerOptions } from "./broker.js";
import { atEnd, type Scope } from "./cleanup.js";
import { Program } from "./programs.js";
import { until } from "./wait.js";

/** Starts an empty redis-server; returns its URL. */
export async function startRedis(scope: Scope): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "fantail-redis-"));
  const socket = join(directory, "redis.sock");
  const redis = new Program("redis-server", [
    ...["--port", "0", "--unixsocket", socket, "--dir", directory],
    ...["--save", "", "--appendonly", "no", "--daemonize", "no"],
  ]);
  atEnd(scope, async () => {
    await redis.kill();
    await rm(directory, { recursive: true });
  });
  await until(() => answers(socket), "redis-server answers");
  return `unix://${socket}`;
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection(path, () => socket.write("PING\r\n"));
    socket.once("data", (data) => (socket.destroy(), done(String(data) === "+PONG\r\n")));
    socket.once("error", () => done(false));
  });
}

/** Starts so many nodes, named n1, n2, …, and waits until each takes publications. */
export async function startCluster(
  scope: Scope,
  count = 2,
  options: BrokerOptions = {},
): Promise<Broker[]> {
  const redis = await startRedis(scope);
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const args = ["--node", `n${index + 1}`, "--redis", redis, ...(options.args ?? [])];
      const node = await Broker.start(scope, { ...options, args });
      await node.waitReady();
      return node;
    }),
  );
}
