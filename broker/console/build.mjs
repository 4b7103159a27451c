/*
 * Makes the files of the console, and of the client's examples, and the table by which fantaild embeds them
 * (broker/http/page_files.c):
 *
 *     node broker/console/build.mjs build/console
 *
 *     build/console/pages.def    a row for each file: FT_PAGE(id, path, type, tag, scripts, styles, bytes,
 *                                packed bytes)
 *     build/console/files/ID     the file, and ID.gz, compressed: empty where that is no shorter
 *
 * The same sources make the same bytes, wherever they lie.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";

const CONSOLE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(CONSOLE, "../..");
const CLIENT = join(ROOT, "clients/js/src");
const EXAMPLES = join(ROOT, "clients/js/examples");

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

const BUNDLE = {
  absWorkingDir: ROOT,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "browser",
  alias: {
    fantail: join(CLIENT, "index.ts"),
    "@msgpack/msgpack": join(CONSOLE, "node_modules/@msgpack/msgpack"),
  },
  external: ["ws"], // is never asked for where there is a WebSocket
  target: "es2021",
  minify: true,
  legalComments: "none", // licensesOf() has them, whole
  chunkNames: "console/[name]-[hash]", // beside the worker, which one of them looks for
  metafile: true,
  write: false,
  logLevel: "warning",
};

/** The examples, and what the console says of them. */
const examples = readdirSync(EXAMPLES).filter((name) => name.endsWith(".html")).sort().map((name) => {
  const content = readFileSync(join(EXAMPLES, name));
  const [, title] = /<title>(.+?)<\/title>/.exec(content) ?? [];
  const [, description] = /<meta name="description" content="(.+?)">/.exec(content) ?? [];
  if (!title || !description) throw new Error(`${name}: needs a <title> and a description`);
  return { path: `/examples/${basename(name, ".html")}`, title, description, content };
});

/** The bundle's files by their path, and the inputs that they are made of. */
async function bundle(entryPoints, options) {
  const made = await esbuild.build({ ...BUNDLE, entryPoints, outdir: "out", ...options });
  const files = made.outputFiles.map((file) => [
    `/${relative(join(ROOT, "out"), file.path)}`,
    Buffer.from(file.contents),
  ]);
  return { files, inputs: Object.keys(made.metafile.inputs) };
}

/** The licenses of the packages that the inputs are of: to be given along with what is made of them. */
function licensesOf(inputs) {
  const folders = inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  return [...new Set(folders)].filter(Boolean).sort().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8"));
    const license = readFileSync(join(ROOT, folder, "LICENSE"), "utf8").trim();
    return `${name} ${version}\n\n${license}\n`;
  }).join(`\n${"-".repeat(72)}\n\n`);
}

/** The console, and the client for the examples, which have most of it in common. */
function scripts() {
  const entries = {
    "console/main": join(CONSOLE, "src/main.tsx"),
    "examples/fantail": join(CLIENT, "index.ts"),
  };
  return bundle(entries, {
    define: { EXAMPLES: JSON.stringify(examples, ["path", "title", "description"]) },
    jsx: "automatic",
    jsxImportSource: "preact",
  });
}

/** What holds a connection for several tabs. */
function worker() {
  const entries = { "console/shared-worker": join(CLIENT, "shared-worker.ts") };
  return bundle(entries, { format: "iife", splitting: false });
}

/** What is served as it is. */
function pages() {
  const files = readdirSync(join(CONSOLE, "public")).map((name) => [
    name === "index.html" ? "/" : `/console/${name}`,
    readFileSync(join(CONSOLE, "public", name)),
  ]);
  return [...files, ...examples.map(({ path, content }) => [path, content])];
}

function sha256(bytes, encoding) {
  return createHash("sha256").update(bytes).digest(encoding);
}

/** What has no ending is a page. */
function typeOf(path) {
  const type = TYPES[extname(path) || ".html"];
  if (!type) throw new Error(`${path}: its Content-Type is not known`);
  return type;
}

/** What a page's Content-Security-Policy has to allow by name: the content of its <script> or <style>. */
function hashes(element, path, bytes) {
  if (typeOf(path) !== TYPES[".html"]) return "";
  const inline = new RegExp(`<${element}(?![^>]*\\ssrc=)[^>]*>(.*?)</${element}>`, "gs");
  const found = [...bytes.toString().matchAll(inline)];
  return found.map(([, content]) => ` 'sha256-${sha256(content, "base64")}'`).join("");
}

/** Writes a file and its compressed form. Returns its row. */
function put(out, path, bytes) {
  const id = path.replace(/[^a-z0-9]+/gi, "_");
  const file = join(out, "files", id);
  const shorter = execFileSync("gzip", ["-9n"], { input: bytes });
  const packed = shorter.length < bytes.length ? shorter : Buffer.alloc(0);
  writeFileSync(file, bytes);
  writeFileSync(`${file}.gz`, packed);
  const tag = sha256(bytes, "base64url").slice(0, 16);
  const texts = [path, typeOf(path), tag, hashes("script", path, bytes), hashes("style", path, bytes)];
  const row = [id, ...texts.map((text) => JSON.stringify(text)), bytes.length, packed.length];
  return `FT_PAGE(${row.join(", ")})\n`;
}

async function main(out) {
  const made = [await scripts(), await worker()];
  const licenses = licensesOf(made.flatMap(({ inputs }) => inputs));
  const files = [...made.flatMap((each) => each.files), ...pages()];
  files.push(["/console/licenses.txt", Buffer.from(licenses)]);
  files.sort(([a], [b]) => (a < b ? -1 : 1));
  rmSync(join(out, "files"), { recursive: true, force: true });
  mkdirSync(join(out, "files"), { recursive: true });
  const rows = files.map(([path, bytes]) => put(out, path, bytes));
  writeFileSync(join(out, "pages.def"), rows.join(""));
}

try {
  await main(process.argv[2] ?? "build/console");
} catch (error) {
  if (!error.errors) console.error(`broker/console/build.mjs: ${error.message}`); // esbuild has said its own
  process.exitCode = 1;
}
