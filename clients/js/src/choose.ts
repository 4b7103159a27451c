/** What opens the connections of a client: its own way to the broker, or the one that all tabs share. */
import type { OpenTransport } from "./transport.js";
import type { ConnectOptions } from "./types.js";
import { chooseWay, later } from "./ways.js";

export const choose = (options: Pick<ConnectOptions, "transports" | "shared">): OpenTransport =>
  options.shared
    ? later(() => import("./shared.js").then((m) => m.share(options)))
    : chooseWay(options.transports);
