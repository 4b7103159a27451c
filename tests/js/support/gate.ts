/** An HTTP proxy as some networks have them: requests pass, upgrades to WebSocket get a 400. */
import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { atEnd, type Scope } from "./cleanup.js";

export class Gate {
  /** Whether WebSockets get through. */
  lets = false;
  /** Upgrades that were asked for. */
  upgrades = 0;
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  private constructor(private readonly target: { port: number }) {
    this.server = createServer((incoming, answer) => this.forward(incoming, answer));
    this.server.on("upgrade", (incoming, socket, head) => this.upgrade(incoming, socket as Socket, head));
    this.server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.sockets.delete(socket));
    });
  }

  static async to(scope: Scope, target: { port: number }): Promise<Gate> {
    const gate = new Gate(target);
    gate.server.listen(0, "127.0.0.1");
    await once(gate.server, "listening");
    atEnd(scope, () => gate.stop());
    return gate;
  }

  get http(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get ws(): string {
    return `${this.http.replace("http", "ws")}/ws`;
  }

  /** Breaks all connections; new ones are taken. */
  drop(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private forward(incoming: IncomingMessage, answer: ServerResponse): void {
    const { method, url, headers } = incoming;
    const onward = request({ port: this.target.port, host: "127.0.0.1", method, path: url, headers });
    onward.on("response", (response) => {
      answer.writeHead(response.statusCode!, response.headers);
      response.pipe(answer);
      response.on("error", () => answer.destroy());
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    incoming.pipe(onward);
  }

  private upgrade(incoming: IncomingMessage, near: Socket, head: Buffer): void {
    this.upgrades += 1;
    if (!this.lets) {
      near.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const far = connect(this.target.port, "127.0.0.1");
    const fields = incoming.rawHeaders.map((text, n) => (n % 2 ? `${text}\r\n` : `${text}: `)).join("");
    far.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${fields}\r\n`);
    far.write(head);
    near.pipe(far).pipe(near);
    far.on("error", () => near.destroy());
    near.on("close", () => far.destroy());
  }

  private async stop(): Promise<void> {
    const closed = once(this.server, "close");
    this.server.close();
    this.drop();
    await closed;
  }
}
