/** Numbers as the console writes them. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  byteRate,
  bytes,
  count,
  duration,
  percent,
  plural,
  rate,
  seconds,
  text,
} from "../../broker/console/src/parts/format.js";

const spaced = (written: string): string => written.replaceAll("\u00a0", " ");

for (const [format, cases] of [
  [
    count,
    {
      0: "0",
      7: "7",
      4321: "4,321",
      9999: "9,999",
      10_000: "10 k",
      12_345: "12.3 k",
      999_960: "1 M",
    },
  ],
  [
    rate,
    {
      0: "0 /s",
      0.004: "< 0.01 /s",
      0.25: "0.25 /s",
      0.9991: "1 /s",
      12.34: "12.3 /s",
      110.2: "110 /s",
      9999: "9,999 /s",
      474_000: "474 k/s",
    },
  ],
  [bytes, { 0: "0 B", 1023: "1,023 B", 1000: "1,000 B", 1536: "1.5 KiB", 67_108_864: "64 MiB" }],
  [byteRate, { 2048: "2 KiB/s" }],
  [seconds, { 0: "0 ms", 0.000085: "85 µs", 0.0123: "12.3 ms", 1.5: "1.5 s" }],
  [percent, { 0: "0 %", 0.5: "50 %", 1.234: "123 %" }],
] as const) {
  test(`${format.name} is short and has its unit`, () => {
    for (const [n, written] of Object.entries(cases))
      assert.equal(spaced(text(format(Number(n)))), written);
    assert.deepEqual(
      [null, undefined, NaN].map((n) => text(format(n))),
      ["–", "–", "–"],
    );
  });
}

test("a duration has its two greatest units", () => {
  const cases = {
    0: "0 s",
    59_999: "59 s",
    60_000: "1 min",
    200_000: "3 min 20 s",
    3_600_000: "1 h",
    7_500_000: "2 h 5 min",
    90_000_000: "1 d 1 h",
  };
  for (const [ms, written] of Object.entries(cases))
    assert.equal(spaced(duration(Number(ms))), written);
});

test("one and many", () => {
  assert.deepEqual(
    [plural(1, "gap"), plural(0, "gap"), plural(2, "entry", "entries")].map(spaced),
    ["1 gap", "0 gaps", "2 entries"],
  );
});
