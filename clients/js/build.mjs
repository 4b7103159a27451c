/**
 * Builds the package into dist/: ESM in parts that are loaded when needed, CommonJS in whole files,
 * the worker of shared connections, and the types for both. `node build.mjs`.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const source = (name) => join(here, "src", `${name}.ts`);
const entries = ["index", "msgpack"];
/** What the core loads when it is needed. Each has its own copy of what it shares with the core,
 * which keeps that in one file. */
const parts = ["events", "persistence", "shared"];

/** Declarations of ESM, told again for CommonJS. */
function writeCommonTypes() {
  for (const file of readdirSync(dist).filter((name) => name.endsWith(".d.ts"))) {
    const text = readFileSync(join(dist, file), "utf8");
    writeFileSync(
      join(dist, file.replace(/\.d\.ts$/, ".d.cts")),
      text.replace(/(["'])(\.\/[\w-]+)\.js\1/g, "$1$2.cjs$1"),
    );
  }
}

const common = {
  bundle: true,
  outdir: dist,
  target: "es2021",
  platform: "neutral",
  external: ["@msgpack/msgpack"],
  charset: "utf8",
  minify: true,
  sourcemap: true,
  /* Private members end so. What a page loads is small rather than readable: the source map has
   * the text. */
  mangleProps: /[^_]_$/,
  logLevel: "warning",
};

rmSync(dist, { recursive: true, force: true });
const lazy = parts.map((name) => `./${name}.js`);
const core = { ...common, format: "esm", entryPoints: entries.map(source) };
const { mangleCache } = await build({
  ...core,
  external: [...common.external, ...lazy],
  mangleCache: {},
});
await build({
  ...common,
  format: "esm",
  splitting: true,
  entryPoints: parts.map(source),
  mangleCache,
});
await build({
  ...core,
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  logOverride: { "empty-import-meta": "silent" },
});
await build({
  ...common,
  format: "iife",
  platform: "browser",
  external: ["ws"],
  entryPoints: [source("shared-worker")],
});
execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", here], {
  stdio: "inherit",
});
writeCommonTypes();
