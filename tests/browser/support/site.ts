/** A web site of the test's own: the built client, and pages. Its origin stays while brokers come and go. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { atEnd, type Scope } from "../../js/support/cleanup.js";
import { ROOT } from "../../js/support/programs.js";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
};

/** An empty page with the built client in it, and what page.ts makes of it. */
const PAGE = `<!doctype html><meta charset="utf-8"><title>a page</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": {
  "fantail": "/dist/index.js", "fantail/msgpack": "/dist/msgpack.js",
  "@msgpack/msgpack": "/node_modules/@msgpack/msgpack/dist.esm/index.mjs"}}</script>
<script type="module" src="/page.js"></script>
`;
const SCRIPT = fileURLToPath(new URL("page.ts", import.meta.url));

export class Site {
  private readonly server: Server;

  private constructor() {
    this.server = createServer(async (request, response) => {
      const { pathname } = new URL(request.url!, "http://site");
      const body = await this.find(pathname);
      const type = TYPES[extname(pathname) || ".html"] ?? "application/octet-stream";
      response.writeHead(body === null ? 404 : 200, { "Content-Type": type, "Cache-Control": "no-store" });
      response.end(body);
    });
  }

  static async start(scope: Scope): Promise<Site> {
    const site = new Site();
    site.server.listen(0, "127.0.0.1");
    await once(site.server, "listening");
    atEnd(scope, async () => {
      site.server.close();
      site.server.closeAllConnections();
    });
    return site;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private async find(pathname: string): Promise<string | Buffer | null> {
    if (pathname === "/") return PAGE;
    if (pathname === "/page.js") {
      return (await transform(await readFile(SCRIPT, "utf8"), { loader: "ts", target: "es2022" })).code;
    }
    if (!/^\/(dist|node_modules\/@msgpack)\//.test(pathname)) return null;
    return readFile(join(ROOT, "clients/js", pathname)).catch(() => null);
  }
}
