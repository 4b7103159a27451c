/** What the console makes of the nodes' figures: samples, an axis of time, and what is wrong in
 * words. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  align,
  column,
  sampleAt,
  SILENT_MS,
  total,
} from "../../broker/console/src/overview/align.js";
import { find, healthOf, type Situation } from "../../broker/console/src/overview/findings.js";
import { isGone, Nodes, silence } from "../../broker/console/src/overview/nodes.js";
import { Ring } from "../../broker/console/src/overview/ring.js";
import type { Stats } from "../../broker/console/src/overview/stats.js";

const START = 1_800_000_000_000;

interface Told {
  node?: string;
  started?: number;
  [figure: string]: unknown;
}

function stats(second: number, { node = "n1", started = 1, ...more }: Told = {}): Stats {
  return {
    node,
    at: START + second * 1000,
    process_start_time_seconds: started,
    connections: 1,
    ...more,
  };
}

/** Nodes that have told these, each when it was said. */
function told(...all: Stats[]): Nodes {
  const nodes = new Nodes();
  for (const one of all) nodes.take("$sys/x/stats", one, one["at"] as number);
  return nodes;
}

function at(second: number, nodes: Nodes, more: Partial<Situation> = {}): Situation {
  return {
    nodes: nodes.all(),
    now: START + second * 1000,
    listening: START,
    downSince: null,
    ended: false,
    via: "n1",
    ...more,
  };
}

const titles = (situation: Situation): string[] =>
  find(situation).map((one) => `${one.tone}: ${one.title}`);

test("a ring keeps the latest", () => {
  const ring = new Ring<number>(3);
  for (let n = 0; n < 8; n++) {
    ring.push(n);
    assert.deepEqual(
      [...ring],
      [n - 2, n - 1, n].filter((kept) => kept >= 0),
    );
    assert.deepEqual([ring.at(-1), ring.at(ring.length), ring.at(-4)], [n, undefined, undefined]);
  }
});

test("each second of a node is taken once, in its order, in each of its lives", () => {
  const nodes = new Nodes();
  const taken = [stats(1), stats(1), stats(2), stats(1), stats(3), stats(2, { started: 2 })].map(
    (one) => nodes.take("$sys/n1/stats", one, START + 3000),
  );
  assert.deepEqual(taken, [true, false, true, false, true, true]);
  assert.equal(nodes.all()[0]!.samples.length, 4);
  assert.equal(nodes.all()[0]!.restarted, START + 3000);
  assert.equal(nodes.take("$sys/n1/stats", { node: "n1" }, START), false);
});

test("rates are the broker's, or come from its counters within one life", () => {
  const nodes = told(
    stats(0, { deliveries_dropped: { slow: 5, latest: 1, every: 1 }, gaps: { slow: 1 } }),
    stats(2, {
      deliveries_dropped: { slow: 9, latest: 1, every: 5 },
      gaps: { slow: 1 },
      rates: { deliveries: 7 },
    }),
    stats(3, {
      deliveries_dropped: { slow: 0, latest: 0, every: 0 },
      gaps: { slow: 0 },
      started: 2,
    }),
  );
  const seen = [...nodes.all()[0]!.samples].map(({ lost, thinned, gaps, delivered }) => [
    lost,
    thinned,
    gaps,
    delivered,
  ]);
  assert.deepEqual(seen, [
    [null, null, null, null],
    [2, 2, 0, 7],
    [null, null, null, null],
  ]);
});

test("on the axis each sample stands once, and a line breaks where a node was silent", () => {
  const all = [0, 1, 2, 7, 8].map((second) => stats(second, { connections: second }));
  const others = [0, 1, 2, 3, 4, 5, 6, 7].map((second) =>
    stats(second + 0.5, { node: "n2", connections: 100 }),
  );
  const nodes = told(...all, ...others).all();
  const axis = align(
    nodes.map((node) => node.samples),
    START,
  );
  assert.deepEqual(
    axis.times,
    [...new Set(axis.times)].sort((a, b) => a - b),
  );
  const own = column(axis, 0, "connections");
  assert.deepEqual(
    own.filter((value) => typeof value === "number"),
    [0, 1, 2, 7, 8],
  );
  const between = own.slice(own.indexOf(2) + 1, own.indexOf(7));
  assert.ok(between.length >= 5 && between.every((value) => value === null), String(between));
  assert.ok(own.slice(0, own.indexOf(2)).every((value) => value !== null));
  assert.ok(column(axis, 1, "connections").every((value) => value !== null));
});

test("a gap is one also where no other node has told anything meanwhile", () => {
  const nodes = told(stats(0), stats(10)).all();
  const axis = align(
    nodes.map((node) => node.samples),
    START,
  );
  assert.deepEqual(
    axis.times.map((seconds) => seconds * 1000 - START),
    [0, SILENT_MS, 10_000],
  );
  assert.deepEqual(column(axis, 0, "connections"), [1, null, 1]);
});

test("a figure that is not known breaks its own line only", () => {
  const rates = { rates: { deliveries: 4 } };
  const nodes = told(stats(0, rates), stats(1), stats(2, rates), stats(1.5, { node: "n2" })).all();
  const axis = align(
    nodes.map((node) => node.samples),
    START,
  );
  assert.deepEqual(column(axis, 0, "delivered"), [4, null, null, 4]);
  assert.deepEqual(column(axis, 0, "connections"), [1, 1, undefined, 1]);
});

test("the total counts each node once, and none that is silent", () => {
  const nodes = told(
    ...[0, 1, 2, 3, 4, 5, 6].map((second) => stats(second, { connections: 10 })),
    ...[0.5, 1.5].map((second) => stats(second, { node: "n2", connections: 1 })),
  ).all();
  const axis = align(
    nodes.map((node) => node.samples),
    START,
  );
  assert.deepEqual(total(axis, "connections"), [10, 11, 11, 11, 11, 11, 10, 10, 10]);
});

test("the sample of a time is the one before it, unless the node was silent", () => {
  const samples = told(stats(1, { connections: 3 }), stats(2, { connections: 4 })).all()[0]!
    .samples;
  assert.equal(sampleAt(samples, START + 500), null);
  assert.equal(sampleAt(samples, START + 1999)?.connections, 3);
  assert.equal(sampleAt(samples, START + 2000)?.connections, 4);
  assert.equal(sampleAt(samples, START + 2000 + SILENT_MS), null);
});

test("a clock that is wrong by minutes does not put the figures out of sight", () => {
  const nodes = new Nodes();
  for (const second of [0, 1, 2])
    nodes.take("$sys/n1/stats", stats(second - 600), START + second * 1000 + 20);
  const times = [...nodes.all()[0]!.samples].map((sample) => sample.at - START);
  assert.deepEqual(times, [20, 1020, 2020]);
});

test("a node is silent from 2.4 s on, and only when it could have been heard", () => {
  const nodes = told(stats(0));
  const [node] = nodes.all();
  assert.equal(silence(node!, START + SILENT_MS, START), 0);
  assert.equal(silence(node!, START + SILENT_MS + 1, START), SILENT_MS + 1);
  assert.equal(silence(node!, START + 60_000, START + 59_000), 0);
  assert.deepEqual(titles(at(2, nodes)), []);
  assert.deepEqual(titles(at(2.5, nodes)), ["bad: n1 does not answer"]);
  assert.deepEqual(titles(at(31, nodes)), ["bad: n1 is gone"]);
});

test("a node that the cluster does not list is gone, and forgotten in the end", () => {
  const nodes = told(stats(0), stats(0, { node: "n2" }), stats(1));
  nodes.list(new Set(["n1", "n3"]), START + 1000);
  assert.deepEqual(
    nodes.all().map((node) => [node.name, isGone(node, START + 1500, START)]),
    [
      ["n1", false],
      ["n2", true],
      ["n3", false],
    ],
  );
  nodes.prune(START + 16 * 60_000);
  assert.deepEqual(
    nodes.all().map((node) => node.name),
    ["n1", "n3"],
  );
});

test("without Redis the other nodes are not blamed", () => {
  const cut = { relay_up: 0, relay_servers: 2, relay_servers_up: 1 };
  const nodes = told(stats(0, { node: "n2" }), stats(0, { node: "n3" }), stats(5, cut));
  assert.deepEqual(titles(at(5, nodes)), [
    "bad: n1 is cut off from Redis",
    "warn: n2 and n3 cannot be heard",
  ]);
});

test("without a connection nothing is said of the nodes", () => {
  const nodes = told(stats(0));
  const down = { downSince: START + 1000 };
  assert.deepEqual(titles(at(1.5, nodes, down)), []);
  assert.deepEqual(titles(at(9, nodes, down)), ["bad: The connection to n1 is lost"]);
  assert.deepEqual(titles(at(9, nodes, { ...down, via: null })), [
    "bad: The broker cannot be reached",
  ]);
  const ended = at(1.5, nodes, { ...down, ended: true });
  assert.deepEqual(titles(ended), ["bad: n1 has ended the connection"]);
  assert.equal(healthOf(nodes.all()[0]!, at(9, nodes, down), []).text, "not known");
});

for (const { name, told: figures, said } of [
  {
    name: "loss",
    told: { deliveries_dropped: { slow: 3 }, gaps: { slow: 1 } },
    said: "bad: n1 loses publications",
  },
  {
    name: "refusals",
    told: { rates: { publications_refused: 4 } },
    said: "warn: n1 refuses publications",
  },
  { name: "slow readers", told: { sessions_parked: 2 }, said: "warn: n1 has slow readers" },
  { name: "lag", told: { relay_up: 1, relay_lag: 5000 }, said: "warn: n1 is behind Redis" },
  { name: "a stall", told: { worker_lag_max_seconds: [0, 1.5] }, said: "warn: n1 stalled" },
  { name: "a long stall", told: { worker_lag_max_seconds: [4, 0] }, said: "bad: n1 stalled" },
  {
    name: "few files",
    told: { process_open_fds: 850, process_max_fds: 1000 },
    said: "warn: n1 runs out of file descriptors",
  },
  {
    name: "a drain",
    told: { ready: 0, unready: "stopping" },
    said: "warn: n1 takes no new clients",
  },
]) {
  test(`${name} is named, and the node is not well`, () => {
    const nodes = told(
      stats(0, { deliveries_dropped: { slow: 0 }, gaps: { slow: 0 } }),
      stats(1, figures),
    );
    const found = find(at(1, nodes));
    assert.deepEqual(
      found.map((one) => `${one.tone}: ${one.title}`),
      [said],
    );
    assert.notEqual(healthOf(nodes.all()[0]!, at(1, nodes), found).tone, "good");
  });
}

test("what has happened a minute ago is over, a restart is told for longer", () => {
  const quiet = { deliveries_dropped: { slow: 1 }, gaps: { slow: 0 } };
  const nodes = told(
    stats(0, { deliveries_dropped: { slow: 0 }, gaps: { slow: 0 } }),
    stats(1, quiet),
  );
  for (let second = 2; second < 70; second++)
    nodes.take("$sys/n1/stats", stats(second, quiet), START + second * 1000);
  assert.deepEqual(titles(at(69, nodes)), []);
  nodes.take("$sys/n1/stats", stats(70, { started: 2 }), START + 70_000);
  assert.deepEqual(titles(at(70, nodes)), ["note: n1 was restarted"]);
});

test("what ails several nodes in the same way is one finding", () => {
  const names = ["n1", "n2", "n3", "n4", "n5"];
  const nodes = told(...names.map((node) => stats(0, { node, sessions_parked: 1 })));
  const [found, ...more] = find(at(0, nodes));
  assert.equal(more.length, 0);
  assert.equal(found?.title, "n1, n2 and 3 more have slow readers");
  assert.deepEqual(found?.nodes, names);
});
