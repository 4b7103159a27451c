/** What a page has to load of the built package before it can connect. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import test from "node:test";
import { gzipSync } from "node:zlib";

const dist = new URL("../../clients/js/dist/", import.meta.url);
const CORE_BYTES = 8192;

/** The files that a module of the package loads with itself. */
function loadedBy(name: string, files = new Set<string>()): Set<string> {
  if (files.has(name)) return files;
  files.add(name);
  const text = readFileSync(new URL(name, dist), "utf8");
  for (const [, found] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)) loadedBy(found!, files);
  return files;
}

test("the core is 8 KB at most, minified and gzipped, and needs no package", () => {
  let bytes = 0;
  for (const name of loadedBy("index.js")) {
    const text = readFileSync(new URL(name, dist));
    bytes += gzipSync(text, { level: 9 }).length;
    assert.doesNotMatch(text.toString(), /(?:from|import)\s*"[^."]|require\(|\bBuffer\b|process\./, name);
    assert.ok(text.toString().split("\n").length < 10, `${name} is minified`);
  }
  assert.ok(bytes > 1000 && bytes <= CORE_BYTES, `${bytes} bytes`);
});

test("what is not always needed is a file of its own", () => {
  const text = readFileSync(new URL("index.js", dist), "utf8");
  for (const part of ["events.js", "persistence.js"]) assert.ok(text.includes(`import("./${part}")`), part);
});

test("both kinds of modules give the same names", async () => {
  const require = createRequire(import.meta.url);
  for (const [name, some] of [
    ["index", "connect"],
    ["msgpack", "msgpack"],
  ] as const) {
    const es = (await import(new URL(`${name}.js`, dist).href)) as object;
    const common = require(new URL(`${name}.cjs`, dist).pathname) as object;
    assert.ok(some in es);
    assert.deepEqual(Object.keys(common).sort(), Object.keys(es).sort());
  }
});
