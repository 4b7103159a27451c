/** Code that the console gives away: it means what the page does, in the words of each tool. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";
import {
  publishSnippets,
  pythonLiteral,
  shellQuote,
  watchSnippets,
  type Broker,
  type Snippet,
} from "../../broker/console/src/model/snippets.js";

const OPEN: Broker = { origin: "http://127.0.0.1:8080", ws: "ws://127.0.0.1:8080/ws", auth: false };
const CLOSED: Broker = {
  origin: "https://feeds.example",
  ws: "wss://feeds.example/ws",
  auth: true,
};
const AWKWARD = `it's "a" $HOME \`x\` \\ 100% #é\n-`;

function code(snippets: Snippet[], name: Snippet["name"]): string {
  const found = snippets.find((snippet) => snippet.name === name);
  assert.ok(found, `there is no ${name}`);
  return found.code;
}

/** The words that a shell makes of a command, `fantail` and `curl` being replaced. */
function words(command: string): string[] {
  const script = `fantail() { for w in "$@"; do printf '%s\\0' "$w"; done; }
curl() { fantail "$@"; }\n${command}`;
  const out = execFileSync("sh", ["-c", script], { env: { FANTAIL_TOKEN: "t0ken" } });
  return out.toString().split("\0").slice(0, -1);
}

/** What Python makes of an expression, as JSON. */
function python(expression: string): unknown {
  const script = `import json\nprint(json.dumps(${expression}))`;
  return JSON.parse(execFileSync("/usr/bin/python3", ["-c", script]).toString());
}

function isPython(text: string): void {
  execFileSync("/usr/bin/python3", ["-c", "import sys; compile(sys.stdin.read(), 'x', 'exec')"], {
    input: text,
  });
}

test("a shell reads a quoted text as it was", () => {
  for (const text of ["a/b", "sensors/+/temp", "#", "", "-x", AWKWARD]) {
    assert.deepEqual(words(`fantail ${shellQuote(text)}`), [text]);
  }
  assert.equal(shellQuote("a/b.c:1"), "a/b.c:1");
});

test("a subscription by curl asks for the same", () => {
  const watched = { filter: "a b/+/é#", since: ["s1.17", "s2.3"], every: 250 };
  const [, url] = words(code(watchSnippets(OPEN, watched), "curl"));
  const asked = new URL(url ?? "");
  assert.equal(asked.origin + asked.pathname, "http://127.0.0.1:8080/v1/events");
  assert.equal(asked.searchParams.get("topic"), watched.filter);
  assert.deepEqual(asked.searchParams.getAll("since"), watched.since);
  assert.equal(asked.searchParams.get("every"), "250");
  assert.equal(asked.searchParams.has("last"), false);
});

test("a subscription by the command has the same options", () => {
  const watched = { filter: "it's/#", last: 3, every: 100 };
  const expected = ["sub", "-v", "-s", OPEN.ws, "--last", "3", "--every", "100", "it's/#"];
  assert.deepEqual(words(code(watchSnippets(OPEN, watched), "fantail")), expected);
  const option = words(code(watchSnippets(OPEN, { filter: "-v" }), "fantail"));
  assert.deepEqual(option.slice(-2), ["--", "-v"]);
});

test("a token comes from the environment and is not written into the code", () => {
  const watch = watchSnippets(CLOSED, { filter: "a" });
  const publish = publishSnippets(CLOSED, { topic: "a", data: 1 });
  for (const snippets of [watch, publish]) {
    assert.ok(words(code(snippets, "curl")).includes("Authorization: Bearer t0ken"));
    assert.match(code(snippets, "JavaScript"), /process\.env\.FANTAIL_TOKEN/);
    assert.match(code(snippets, "Python"), /os\.environ\["FANTAIL_TOKEN"\]/);
    isPython(code(snippets, "Python"));
  }
  for (const snippet of watchSnippets(OPEN, { filter: "a" })) {
    assert.ok(!snippet.code.includes("TOKEN"), snippet.name);
  }
});

test("a publication by curl is the envelope of the publication", () => {
  const data = { text: AWKWARD, n: [1.5, null, true] };
  const published = { topic: "it's/a", data, retain: true, ttl: 60, key: "k'1" };
  const args = words(code(publishSnippets(OPEN, published), "curl"));
  assert.equal(args[0], "http://127.0.0.1:8080/v1/publish");
  assert.deepEqual(JSON.parse(args.at(-1) ?? ""), published);
});

test("bytes are published as bytes, or not offered", () => {
  const raw = { topic: "a", data: Uint8Array.of(0xff, 0xfe, 0) };
  const curl = words(code(publishSnippets(OPEN, raw), "curl"));
  assert.deepEqual(JSON.parse(curl.at(-1) ?? ""), { topic: "a", b64: "//4A" });
  assert.match(
    code(publishSnippets(OPEN, raw), "fantail"),
    /^printf %s .* \| base64 -d \| fantail pub/,
  );
  const text = { topic: "a", data: new TextEncoder().encode("text") };
  assert.ok(!publishSnippets(OPEN, text).some((snippet) => snippet.name === "fantail"));
});

test("a publication by the command keeps strings strings", () => {
  const published = { topic: "-t", data: "12", key: "k", ttl: 5, retain: true };
  const expected = [
    "pub",
    "-s",
    OPEN.ws,
    "--retain",
    "--ttl",
    "5",
    "--key",
    "k",
    "--",
    "-t",
    '"12"',
  ];
  assert.deepEqual(words(code(publishSnippets(OPEN, published), "fantail")), expected);
});

test("values mean the same in Python", () => {
  const value = { a: [true, false, null, 1e21, -0.5, AWKWARD, "\u007f\u2028😀"], "k'": {} };
  assert.deepEqual(python(pythonLiteral(value)), value);
  isPython(code(publishSnippets(OPEN, { topic: AWKWARD, data: value }), "Python"));
  isPython(code(watchSnippets(OPEN, { filter: AWKWARD, last: 1 }), "Python"));
});
