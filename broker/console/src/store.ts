/**
 * What the whole console shares: one client, how it stands with the broker, and who is signed in.
 * The token is kept in sessionStorage alone: it ends with the tab, and no other tab sees it.
 */
import { effect, signal } from "@preact/signals";
import { connect, type Client, type State, type Welcome } from "fantail";

/** What GET /console/config.json says. */
export interface Config {
  version?: string;
  node?: string;
  /** Path of the WebSocket. */
  ws: string;
  /** Somebody without a token is no admin here. */
  auth: boolean;
}

/** `asked`: the sign-in form is to be shown, and `why` says because of what. */
export interface SignIn {
  asked: boolean;
  why: string;
}

/** What a request came to when it was not answered with success. */
export class RequestError extends Error {
  constructor(
    /** HTTP status; 0 where there was no answer. */
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "RequestError";
  }
}

const TOKEN = "fantail.token";
const PROBE_PAUSE_MS = 3000;

export const config = signal<Config | null>(null);
/** Null until the page knows where to connect, and while it may not. */
export const client = signal<Client | null>(null);
export const state = signal<State>("connecting");
export const welcome = signal<Welcome | null>(null);
/** Unix ms since when there is no connection, and null while there is one. */
export const downSince = signal<number | null>(null);
/** Null until the broker has been asked. Figures, topics and sessions are for admins alone. */
export const isAdmin = signal<boolean | null>(null);
export const signIn = signal<SignIn>({ asked: false, why: "" });
export const signedIn = signal(sessionStorage.getItem(TOKEN) !== null);
/** Unix ms, twice a second: for ages, and for noticing that something does not come any more. */
export const now = signal(Date.now());

let probed = 0;
/** The client waits for this, to go on with a fresh token and without a break. */
let giveToken: ((fresh: string) => void) | null = null;

function token(): string | null {
  return sessionStorage.getItem(TOKEN);
}

async function messageOf(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: unknown } };
    if (typeof body.error?.message === "string") return body.error.message;
  } catch {
    // What a proxy in between answered; the status says what there is to say.
  }
  return `${response.status} ${response.statusText}`.trim();
}

async function request(path: string, init: RequestInit): Promise<unknown> {
  const headers = new Headers(init.headers);
  const bearer = token();
  if (bearer !== null) headers.set("Authorization", `Bearer ${bearer}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new RequestError(0, "the broker cannot be reached");
  }
  if (response.status === 401) askForToken(await messageOf(response.clone()));
  if (!response.ok) throw new RequestError(response.status, await messageOf(response));
  return response.json();
}

/** Asks the broker's HTTP side, with the token. Rejects with a `RequestError`. */
export function getJson(path: string, signal?: AbortSignal): Promise<unknown> {
  return request(path, signal ? { signal } : {});
}

export function postJson(path: string, body: unknown): Promise<unknown> {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** Without a token there is nothing to explain: the form says what it is for. */
function askForToken(message: string): void {
  if (signIn.value.asked) return;
  signIn.value = { asked: true, why: token() === null ? "" : message };
}

/** Asks how far the credentials go. Resolves with why the broker does not take them, or null
 * when it does. */
async function probe(): Promise<string | null> {
  probed = Date.now();
  try {
    await getJson("/v1/stats");
    isAdmin.value = true;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (error.status === 401) return error.message;
    if (error.status === 403) isAdmin.value = false;
  }
  return null;
}

/** A browser does not tell why a WebSocket was refused, so what is refused is asked for over
 * HTTP. */
function onState(next: State): void {
  state.value = next;
  if (next === "open") {
    downSince.value = null;
    if (isAdmin.value === null) void probe();
    return;
  }
  downSince.value ??= Date.now();
  if (next !== "waiting" || Date.now() - probed < PROBE_PAUSE_MS) return;
  void probe().then((refusal) => {
    if (refusal !== null) leave();
  });
}

function wsUrl(path: string): string {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

function open(): void {
  const path = config.peek()?.ws ?? "/ws";
  const made = connect(wsUrl(path), {
    getToken: ({ expired }) => {
      if (!expired || token() === null) return token();
      askForToken("The token has expired.");
      return new Promise((resolve) => {
        giveToken = resolve;
      });
    },
  });
  made.on("state", (next) => {
    if (client.peek() === made) onState(next);
  });
  made.on("welcome", (next) => {
    if (client.peek() === made) welcome.value = next;
  });
  client.value = made;
  onState(made.state);
}

/** Ends the connection, because what it was made with is not good any more. */
function leave(): void {
  const old = client.peek();
  client.value = null;
  welcome.value = null;
  isAdmin.value = null;
  giveToken = null;
  old?.close();
}

/** Takes a token in. Resolves with what is wrong with it, or null when it is good. */
export async function signInWith(given: string): Promise<string | null> {
  const before = token();
  sessionStorage.setItem(TOKEN, given);
  const refusal = await probe();
  if (refusal !== null) {
    if (before === null) sessionStorage.removeItem(TOKEN);
    else sessionStorage.setItem(TOKEN, before);
    return `The broker does not take it: ${refusal}.`;
  }
  signedIn.value = true;
  signIn.value = { asked: false, why: "" };
  if (giveToken && client.peek()?.state === "open") {
    giveToken(given);
    giveToken = null;
  } else {
    reconnect();
  }
  return null;
}

/** Makes a new connection, also after the broker has ended the one before for good. */
export function reconnect(): void {
  leave();
  void begin();
}

export function askToSignIn(): void {
  signIn.value = { asked: true, why: "" };
}

export function cancelSignIn(): void {
  signIn.value = { asked: false, why: "" };
}

export function signOut(): void {
  sessionStorage.removeItem(TOKEN);
  signedIn.value = false;
  reconnect();
}

async function begin(): Promise<void> {
  if ((await probe()) === null) open();
}

async function loadConfig(): Promise<void> {
  for (;;) {
    try {
      config.value = (await getJson("/console/config.json")) as Config;
      return;
    } catch {
      downSince.value ??= Date.now();
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

export async function start(): Promise<void> {
  setInterval(() => {
    now.value = Date.now();
  }, 500);
  effect(() => {
    const node = welcome.value?.node ?? config.value?.node;
    document.title = node === undefined ? "Fantail" : `${node} · Fantail`;
  });
  await loadConfig();
  await begin();
}
