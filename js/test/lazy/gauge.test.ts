import { expect, test } from "vitest";
import { positionOn, reachFor, timesFor } from "../../src/lazy/gauge";
import type { Gauge } from "../../src/protocol.gen";

const GAUGE: Gauge = {
  layer: "conv2",
  unit: 3,
  images: 250,
  lowest: -1,
  median: 1,
  high: 3,
  best: 4,
  activation: 12.4,
  activation_ratio: 3.1,
  text: "3.1× the activation of the top real image (of 250).",
  score: null,
};

test("the maximum over the real images is in the middle of the scale, whatever the numbers", () => {
  for (const [lowest, best] of [
    [-3, 4],
    [2, 4],
    [-3, -1],
    [0, 0],
    [5, 5],
  ] as const) {
    const gauge = { ...GAUGE, lowest, best };
    expect(positionOn(gauge, best, 10)).toBeCloseTo(0.5);
    expect(positionOn(gauge, lowest - 100, 10)).toBe(0);
    expect(positionOn(gauge, best + 1e9, 10)).toBe(1);
    expect(positionOn(gauge, best + 0.5, 10)).toBeGreaterThan(0.5);
  }
  expect(positionOn(GAUGE, 40, 10)).toBeCloseTo(1);
  expect(positionOn(GAUGE, 4 * Math.sqrt(10), 10)).toBeCloseTo(0.75);
});

test("the scale grows by factors of ten and never shrinks", () => {
  expect(reachFor(GAUGE, 10)).toBe(10);
  expect(reachFor({ ...GAUGE, activation: 44 }, 10)).toBe(100);
  expect(reachFor({ ...GAUGE, activation: 5 }, 100)).toBe(100);
  expect(reachFor({ ...GAUGE, best: -1 }, 10)).toBe(10);
  expect(timesFor(10)).toEqual([3, 10]);
  expect(timesFor(1000)).toEqual([10, 1000]);
});
