/** A network between a client and a broker that can be cut, and can go silent in either direction. */
import { once } from "node:events";
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { atEnd, type Scope } from "./cleanup.js";

/** Where the link leads; asked for each connection, so that it may move. */
type Target = () => { port: number };

interface Pair {
  near: Socket;
  far: Socket;
}

export class Link {
  /** Connections that were taken, those of a cut network not. */
  accepted = 0;
  private readonly pairs = new Set<Pair>();
  private readonly server: Server;
  private isCut = false;
  private silent = { up: false, down: false };

  private constructor(private readonly target: Target) {
    this.server = createServer({ allowHalfOpen: true }, (near) => this.accept(near));
  }

  static async to(scope: Scope, target: Target | { port: number }): Promise<Link> {
    const link = new Link(typeof target === "function" ? target : () => target);
    link.server.listen(0, "127.0.0.1");
    await once(link.server, "listening");
    atEnd(scope, () => link.stop());
    return link;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get http(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get ws(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.pairs.size;
  }

  private accept(near: Socket): void {
    near.on("error", () => near.destroy());
    if (this.isCut) {
      reset(near);
      return;
    }
    this.accepted += 1;
    const far = createConnection({ port: this.target().port, host: "127.0.0.1", allowHalfOpen: true });
    const pair = { near, far };
    this.pairs.add(pair);
    this.pass(near, far, "up", pair);
    this.pass(far, near, "down", pair);
  }

  private pass(from: Socket, to: Socket, way: "up" | "down", pair: Pair): void {
    from.on("data", (bytes) => {
      if (!to.write(bytes)) {
        from.pause();
        to.once("drain", () => this.silent[way] || from.resume());
      }
    });
    from.on("end", () => to.end());
    from.on("error", () => from.destroy());
    from.on("close", () => {
      // What ended badly does so on the other side, too.
      if (from.readableEnded) to.end();
      else to.destroy();
      if (to.destroyed) this.pairs.delete(pair);
    });
    if (this.silent[way]) from.pause();
  }

  /** Breaks all connections, and refuses new ones until `restore()`. */
  cut(): void {
    this.isCut = true;
    this.drop();
  }

  /** Breaks all connections; new ones are taken. */
  drop(): void {
    for (const { near, far } of this.pairs) {
      reset(near);
      far.destroy();
    }
    this.pairs.clear();
  }

  /**
   * Passes nothing on from now, new connections included: they stay open, and neither side learns of it.
   * `up` is what the client sends.
   */
  stall(way: "up" | "down" | "both" = "both"): void {
    this.hold({ up: way !== "down", down: way !== "up" });
  }

  /** Takes connections again, and passes on what was held back. */
  restore(): void {
    this.isCut = false;
    this.hold({ up: false, down: false });
  }

  private hold(silent: { up: boolean; down: boolean }): void {
    this.silent = silent;
    for (const { near, far } of this.pairs) {
      if (silent.up) near.pause();
      else near.resume();
      if (silent.down) far.pause();
      else far.resume();
    }
  }

  private async stop(): Promise<void> {
    const closed = once(this.server, "close");
    this.server.close();
    this.drop();
    await closed;
  }
}

/** Breaks a connection without a word. One that is being ended cannot be: libuv would never close it. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
