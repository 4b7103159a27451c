/**
 * The tree of topics: what is fetched when, and what it shows, with a hundred thousand topics
 * behind it.
 */
import assert from "node:assert/strict";
import test from "node:test";
import {
  TopicTree,
  type LevelFigures,
  type LevelPage,
  type TreeRow,
} from "../../broker/console/src/model/tree.js";

const PAGE = 200;

/** A broker that has these topics, and how often it was asked. */
class Topics {
  asked: string[] = [];
  isDown = false;

  constructor(public topics: string[]) {}

  readonly fetch = async (under: string | null, after: string | null): Promise<LevelPage> => {
    this.asked.push(`${under ?? "*"}>${after ?? ""}`);
    if (this.isDown) throw new Error("Redis is away");
    const groups = new Map<string, LevelFigures>();
    const prefix = under === null ? "" : `${under}/`;
    for (const topic of this.topics) {
      if (!topic.startsWith(prefix)) continue;
      const level = topic.slice(prefix.length).split("/")[0] ?? "";
      const group = groups.get(level) ?? {
        level,
        topics: 0,
        rate: 0,
        publications: 0,
        bytes: 0,
        at: 0,
      };
      group.topics += 1;
      group.rate += 1;
      if (topic === prefix + level) {
        group.topic = { topic, rate: 1, publications: 1, bytes: 1, at: 1, retained: false };
      }
      groups.set(level, group);
    }
    const all = [...groups.values()].sort((a, b) => (a.level < b.level ? -1 : 1));
    const rest = all.filter((group) => after === null || group.level > after);
    return { levels: rest.slice(0, PAGE), more: rest.length > PAGE };
  };
}

function line(row: TreeRow): string {
  const indent = "  ".repeat(row.depth);
  if (row.kind === "rest") return `${indent}${row.text}`;
  const sign = row.hasBelow ? (row.isOpen ? "v " : "> ") : "";
  return `${indent}${sign}${row.level} ${row.figures.topics}`;
}

async function opened(topics: Topics, ...paths: string[]): Promise<TopicTree> {
  const tree = new TopicTree(topics.fetch);
  await tree.open(null);
  for (const path of paths) await tree.open(path);
  return tree;
}

test("levels are fetched when they are opened, and not before", async () => {
  const topics = new Topics(["a", "a/b", "a/c/d", "e/f", "g"]);
  const tree = await opened(topics);
  assert.deepEqual(tree.rows.map(line), ["> a 3", "> e 1", "g 1"]);
  assert.deepEqual(topics.asked, ["*>"]);
  await tree.open("a");
  assert.deepEqual(tree.rows.map(line), ["v a 3", "  b 1", "  > c 1", "> e 1", "g 1"]);
  tree.close("a");
  await tree.open("a");
  assert.deepEqual(topics.asked, ["*>", "a>"], "what was fetched is kept");
});

test("a level with one below it is gone through", async () => {
  const tree = await opened(new Topics(["demo/host/cpu", "demo/host/mem"]));
  const expected = ["v demo 2", "  v host 2", "    cpu 1", "    mem 1"];
  assert.deepEqual(tree.rows.map(line), expected);
});

test("levels may be empty", async () => {
  const tree = await opened(new Topics(["/a", "/b", "x//y", "x//z"]), "", "x");
  assert.deepEqual(
    tree.rows.map((row) => row.path),
    ["", "/a", "/b", "x", "x/", "x//y", "x//z"],
  );
});

test("of a hundred thousand topics a page is fetched at a time", async () => {
  const names = Array.from({ length: 100_000 }, (_, n) => `t/${String(n).padStart(6, "0")}`);
  const topics = new Topics(names);
  const tree = await opened(topics);
  assert.equal(tree.rows.length, 202);
  assert.equal(line(tree.rows[201]!), "  more…");
  await tree.loadMore("t");
  assert.equal(tree.rows.length, 402);
  assert.equal(topics.asked.at(-1), "t>000199");
  topics.asked.length = 0;
  await tree.refresh(190, 230);
  assert.deepEqual(topics.asked, ["t>", "t>000199"], "what is in sight is fetched again");
});

test("levels that come between two fetches appear once", async () => {
  const names = Array.from({ length: 300 }, (_, n) => `t/${n + 1000}`);
  const topics = new Topics(names);
  const tree = await opened(topics);
  await tree.loadMore("t");
  topics.topics = [...names, "t/0500", "t/0501"];
  await tree.refresh(0, 10);
  const paths = tree.rows.map((row) => row.path);
  assert.equal(new Set(paths).size, paths.length);
  assert.ok(paths.includes("t/0501"));
});

test("what cannot be fetched says why, and can be tried again", async () => {
  const topics = new Topics(["a/b", "c/d"]);
  const tree = await opened(topics);
  topics.isDown = true;
  await tree.open("a");
  assert.deepEqual(tree.rows.map(line), ["v a 1", "  Redis is away", "> c 1"]);
  topics.isDown = false;
  await tree.loadMore("a");
  assert.deepEqual(tree.rows.map(line), ["v a 1", "  b 1", "> c 1"]);
});

test("where nothing can be fetched at all the caller is told", async () => {
  const topics = new Topics([]);
  topics.isDown = true;
  const tree = new TopicTree(topics.fetch);
  await assert.rejects(tree.open(null), /Redis is away/);
  assert.deepEqual(tree.rows, []);
  topics.isDown = false;
  topics.topics = ["a"];
  await tree.open(null);
  assert.deepEqual(tree.rows.map(line), ["a 1"]);
});

test("an empty broker is asked again by refreshing", async () => {
  const topics = new Topics([]);
  const tree = await opened(topics);
  assert.deepEqual(tree.rows, []);
  topics.topics = ["new"];
  await tree.refresh(0, 10);
  assert.deepEqual(tree.rows.map(line), ["new 1"]);
});
