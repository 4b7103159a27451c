/**
 * Sharing where there is no SharedWorker: the tab that holds a Web Lock has the hub, and the others reach it by a
 * BroadcastChannel. When that tab is closed, the browser gives the lock to the next one, which says so; the others'
 * transports end, and their clients come back to the new hub.
 */
import { Hubs } from "./hub.js";
import { HUB_VERSION, type FromHub, type FromTab, type Hello, type HubPort, portOf, randomName } from "./port.js";
import { openPort } from "./shared-port.js";
import type { OpenTransport, TransportHandlers } from "./transport.js";
import type { Codec } from "./types.js";

/** A holder that does not answer for so long does not run: another tab takes its place, ms. */
const PATIENCE = 5000;

type OnChannel =
  /** There is a new hub. */
  | { to: "tabs" }
  | { to: "hub"; lane: string; message: FromTab }
  | { to: "lane"; lane: string; message: FromHub };

export class Election {
  private readonly channel: BroadcastChannel;
  private readonly name: string;
  private hubs: Hubs | undefined;
  /** Of this tab, to a hub elsewhere. */
  private readonly lanes = new Map<string, (message: FromHub | "new hub") => void>();
  /** Of other tabs, to the hub here. */
  private readonly ports = new Map<string, HubPort>();
  private readonly codecs = new Map<string, Codec>();

  constructor(
    name: string,
    private readonly openerOf: (hello: Hello) => OpenTransport,
  ) {
    this.name = `fantail/${HUB_VERSION} ${name}`;
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = ({ data }) => this.receive(data as OnChannel);
    this.stand(false);
  }

  /** Opens a transport to the hub, wherever it is. */
  open(hello: Hello, codec: Codec, handlers: TransportHandlers): ReturnType<typeof openPort> {
    this.codecs.set(codec.subprotocol, codec);
    return this.hubs ? this.openHere(this.hubs, hello, handlers) : this.openLane(hello, handlers);
  }

  private openHere(hubs: Hubs, hello: Hello, handlers: TransportHandlers): ReturnType<typeof openPort> {
    const { port1, port2 } = new MessageChannel();
    hubs.accept(portOf(port1));
    return openPort(portOf(port2), { ...hello, lock: undefined }, handlers);
  }

  private openLane(hello: Hello, handlers: TransportHandlers): ReturnType<typeof openPort> {
    const lane = randomName();
    let isAnswered = false;
    const timer = setTimeout(() => this.stand(true), PATIENCE);
    const port = {
      onmessage: (_message: FromHub): void => undefined,
      post: (message: FromTab) => this.say({ to: "hub", lane, message }),
      close: () => {
        clearTimeout(timer);
        this.lanes.delete(lane);
      },
    };
    const transport = openPort(port, hello, handlers, () => {
      isAnswered = true;
      clearTimeout(timer);
    });
    this.lanes.set(lane, (message) => {
      if (message !== "new hub") port.onmessage(message);
      else if (isAnswered || this.hubs) transport.lost();
      else port.post({ type: "open", hello }); /* the first time nobody was there to hear it */
    });
    return transport;
  }

  private say(message: OnChannel): void {
    this.channel.postMessage(message);
  }

  private receive(message: OnChannel): void {
    if (message.to === "tabs") this.tellLanes();
    else if (message.to === "lane") this.lanes.get(message.lane)?.(message.message);
    else if (this.hubs) this.serve(this.hubs, message.lane, message.message);
  }

  private tellLanes(): void {
    for (const tell of [...this.lanes.values()]) tell("new hub");
  }

  private serve(hubs: Hubs, lane: string, message: FromTab): void {
    let port = this.ports.get(lane);
    if (!port && message.type === "open") {
      port = {
        onmessage: () => undefined,
        post: (answer) => this.say({ to: "lane", lane, message: answer }),
        close: () => this.ports.delete(lane),
      };
      this.ports.set(lane, port);
      hubs.accept(port);
    }
    port?.onmessage(message);
    if (message.type === "close") this.ports.delete(lane);
  }

  /** Waits to be the holder, or takes the place of one that does not run. */
  private stand(steal: boolean): void {
    if (steal && this.hubs) return;
    const held = (): Promise<never> => {
      this.hubs = new Hubs(this.openerOf, (name) => this.codecOf(name), undefined);
      this.say({ to: "tabs" });
      this.tellLanes();
      return new Promise(() => undefined);
    };
    navigator.locks.request(this.name, { steal }, held).catch((error) => {
      if ((error as Error).name === "AbortError") this.deposed();
    });
  }

  /** Another tab has taken the place, because this one did not run. */
  private deposed(): void {
    const hubs = this.hubs;
    this.hubs = undefined;
    this.ports.clear();
    hubs?.end({ code: 1006, reason: "another tab holds the connection now", retry: 0 });
    this.stand(false);
  }

  private codecOf(name: string): Promise<Codec> {
    const codec = this.codecs.get(name);
    return codec ? Promise.resolve(codec) : Promise.reject(new Error(`this tab does not know ${name}`));
  }
}
