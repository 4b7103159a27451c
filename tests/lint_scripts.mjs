/*
 * What tests/lint asks the TypeScript compiler, one objection a line:
 *
 *     node tests/lint_scripts.mjs types TSCONFIG...          does each project type-check?
 *     node tests/lint_scripts.mjs sources LINES FILE...      is a function longer than that, anything any?
 *
 * The compiler is the console's.
 */
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";

const ts = createRequire(resolve("broker/console/package.json"))("typescript");

function place(file, position) {
  const { line } = file.getLineAndCharacterOfPosition(position);
  return `${relative(".", file.fileName)}:${line + 1}`;
}

function describe({ file, start, messageText }) {
  const text = ts.flattenDiagnosticMessageText(messageText, " ");
  return file ? `${place(file, start)}: ${text}` : text;
}

function types(config) {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} };
  const project = ts.getParsedCommandLineOfConfigFile(config, { noEmit: true }, host);
  if (!project) return [`${config}: cannot be read`];
  const program = ts.createProgram({ rootNames: project.fileNames, options: project.options });
  return [...project.errors, ...ts.getPreEmitDiagnostics(program)].map(describe);
}

function sources(most, path) {
  const file = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const found = [];
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body) {
      const start = node.getStart(file);
      const lines = file.text.slice(start, node.end).split("\n").length - 2;
      if (lines > most) found.push(`${place(file, start)}: ${lines} lines`);
    }
    if (node.kind === ts.SyntaxKind.AnyKeyword) found.push(`${place(file, node.getStart(file))}: any`);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

const [check, ...rest] = process.argv.slice(2);
const found = check === "types" ? rest.flatMap(types)
  : rest.slice(1).flatMap((path) => sources(Number(rest[0]), path));
process.stdout.write([...new Set(found)].map((line) => `${line}\n`).join(""));
