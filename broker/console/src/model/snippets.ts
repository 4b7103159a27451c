/**
 * What the person at the console does, as code to take away: the same subscription or publication
 * by curl, the `fantail` command, JavaScript and Python. Each piece runs as it is where the tools
 * are; a token is never written into it, but read from FANTAIL_TOKEN.
 */
import { toBase64 } from "./hex.js";

/** Where the broker is, as this page sees it. */
export interface Broker {
  /** `http://127.0.0.1:8080` */
  origin: string;
  /** `ws://127.0.0.1:8080/ws` */
  ws: string;
  /** Whether it wants a token. */
  auth: boolean;
}

export interface Watched {
  filter: string;
  since?: readonly string[];
  last?: number;
  every?: number;
}

export interface Published {
  topic: string;
  data: unknown;
  retain?: boolean;
  ttl?: number;
  key?: string;
}

export interface Snippet {
  name: "curl" | "fantail" | "JavaScript" | "Python";
  code: string;
}

export function watchSnippets(broker: Broker, watched: Watched): Snippet[] {
  return [
    { name: "curl", code: watchCurl(broker, watched) },
    { name: "fantail", code: watchCommand(broker, watched) },
    { name: "JavaScript", code: watchJavaScript(broker, watched) },
    { name: "Python", code: watchPython(broker, watched) },
  ];
}

export function publishSnippets(broker: Broker, published: Published): Snippet[] {
  const command = publishCommand(broker, published);
  return [
    { name: "curl", code: publishCurl(broker, published) },
    ...(command === null ? [] : [{ name: "fantail" as const, code: command }]),
    { name: "JavaScript", code: publishJavaScript(broker, published) },
    { name: "Python", code: publishPython(broker, published) },
  ];
}

/** Quotes for a POSIX shell where that is needed. */
export function shellQuote(text: string): string {
  return /^[A-Za-z0-9_./:=@%,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const CURL_TOKEN = ' \\\n    -H "Authorization: Bearer $FANTAIL_TOKEN"';

function watchCurl(broker: Broker, { filter, since, last, every }: Watched): string {
  const query = [`topic=${encodeURIComponent(filter)}`];
  for (const position of since ?? []) query.push(`since=${encodeURIComponent(position)}`);
  if (last) query.push(`last=${last}`);
  if (every) query.push(`every=${every}`);
  const url = shellQuote(`${broker.origin}/v1/events?${query.join("&")}`);
  return `curl -N ${url}${broker.auth ? CURL_TOKEN : ""}`;
}

function watchCommand(broker: Broker, { filter, since, last, every }: Watched): string {
  const words = ["fantail", "sub", "-v", "-s", broker.ws];
  for (const position of since ?? []) words.push("--since", position);
  if (last) words.push("--last", String(last));
  if (every) words.push("--every", String(every));
  // A filter that looks like an option stands behind the end of options.
  if (filter.startsWith("-")) words.push("--");
  return [...words, filter].map(shellQuote).join(" ");
}

const JS_TOKEN = ", {\n  getToken: () => process.env.FANTAIL_TOKEN,\n}";

function jsConnect(broker: Broker): string {
  const url = JSON.stringify(broker.ws);
  return (
    'import { connect } from "fantail";\n\n' +
    `const fan = connect(${url}${broker.auth ? JS_TOKEN : ""});\n`
  );
}

function watchJavaScript(broker: Broker, { filter, since, last, every }: Watched): string {
  const options: string[] = [];
  if (since?.length) options.push(`since: ${JSON.stringify(since)}`);
  if (last) options.push(`last: ${last}`);
  if (every) options.push(`every: ${every}`);
  const rest = options.length ? `, { ${options.join(", ")} }` : "";
  return (
    jsConnect(broker) +
    `for await (const m of fan.subscribe(${JSON.stringify(filter)}${rest})) {\n` +
    "  console.log(m.topic, m.data);\n}\n"
  );
}

function watchPython(broker: Broker, { filter, since, last, every }: Watched): string {
  const sub: Record<string, unknown> = { op: "sub", topics: [filter] };
  if (since?.length) sub["since"] = since;
  if (last) sub["last"] = last;
  if (every) sub["every"] = every;
  const bearer = broker.auth ? ', "fantail.bearer." + os.environ["FANTAIL_TOKEN"]' : "";
  return (
    `import asyncio\nimport json\n${broker.auth ? "import os\n" : ""}\n` +
    "import websockets  # pip install websockets\n\n\n" +
    "async def main():\n" +
    `    protocols = ["fantail.v1.json"${bearer}]\n` +
    `    async with websockets.connect(${pythonText(broker.ws)}, subprotocols=protocols) as ws:\n` +
    `        await ws.send(json.dumps(${pythonLiteral(sub)}))\n` +
    "        async for message in ws:\n" +
    "            print(json.loads(message))\n\n\n" +
    "asyncio.run(main())\n"
  );
}

/** The publication as `POST /v1/publish` takes it. */
function envelope({ topic, data, retain, ttl, key }: Published): Record<string, unknown> {
  const body: Record<string, unknown> = { topic };
  if (data instanceof Uint8Array) body["b64"] = toBase64(data);
  else body["data"] = data;
  if (retain) body["retain"] = true;
  if (ttl) body["ttl"] = ttl;
  if (key) body["key"] = key;
  return body;
}

function publishCurl(broker: Broker, published: Published): string {
  return (
    `curl ${shellQuote(`${broker.origin}/v1/publish`)}${broker.auth ? CURL_TOKEN : ""} \\\n` +
    `    -H 'Content-Type: application/json' -d ${shellQuote(JSON.stringify(envelope(published)))}`
  );
}

/** Null for bytes that are UTF-8, too: the command would publish them as text. */
function publishCommand(broker: Broker, published: Published): string | null {
  const { topic, data, retain, ttl, key } = published;
  const words = ["fantail", "pub", "-s", broker.ws];
  if (retain) words.push("--retain");
  if (ttl) words.push("--ttl", String(ttl));
  if (key) words.push("--key", key);
  // DATA is JSON if it parses as JSON, so a string goes in its quotes. Bytes come by standard
  // input.
  const bytes = data instanceof Uint8Array;
  if (bytes && isUtf8(data)) return null;
  if (bytes) words.push("-f", "-");
  const rest = bytes ? [topic] : [topic, JSON.stringify(data)];
  if (rest.some((word) => word.startsWith("-"))) words.push("--");
  const command = [...words, ...rest].map(shellQuote).join(" ");
  return bytes ? `printf %s ${shellQuote(toBase64(data))} | base64 -d | ${command}` : command;
}

function publishJavaScript(broker: Broker, published: Published): string {
  const { topic, data, retain, ttl, key } = published;
  const options: string[] = [];
  if (retain) options.push("retain: true");
  if (ttl) options.push(`ttl: ${ttl}`);
  if (key) options.push(`key: ${JSON.stringify(key)}`);
  const value =
    data instanceof Uint8Array
      ? `Uint8Array.from([${Array.from(data).join(", ")}])`
      : JSON.stringify(data);
  const rest = options.length ? `, { ${options.join(", ")} }` : "";
  return (
    `${jsConnect(broker)}const { pos } = await fan.publish(` +
    `${JSON.stringify(topic)}, ${value}${rest});\nconsole.log(pos);\nfan.close();\n`
  );
}

function publishPython(broker: Broker, published: Published): string {
  const token = broker.auth
    ? '\nrequest.add_header("Authorization", "Bearer " + os.environ["FANTAIL_TOKEN"])'
    : "";
  return (
    `import json\n${broker.auth ? "import os\n" : ""}import urllib.request\n\n` +
    "request = urllib.request.Request(\n" +
    `    ${pythonText(`${broker.origin}/v1/publish`)},\n` +
    `    json.dumps(${pythonLiteral(envelope(published))}).encode(),\n` +
    `    {"Content-Type": "application/json"},\n)${token}\n` +
    "print(json.load(urllib.request.urlopen(request)))\n"
  );
}

/** A JSON value in Python's words. */
export function pythonLiteral(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value === "object") {
    const items = Object.entries(value).map(([k, v]) => `${pythonText(k)}: ${pythonLiteral(v)}`);
    return `{${items.join(", ")}}`;
  }
  return JSON.stringify(value);
}

/**
 * JSON's escapes are Python's, too, but for pairs of surrogates, which do not appear escaped here.
 */
function pythonText(text: string): string {
  return JSON.stringify(text).replaceAll("\u007f", "\\u007f");
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
