import { expect, test } from "vitest";
import { extentOf, pathOf } from "../../src/panels/curve";

const points = [
  { step: 0, activation: 0 },
  { step: 50, activation: NaN },
  { step: 100, activation: 10 },
];

test("an activation that is not a number leaves a gap and does not affect the range", () => {
  const extent = extentOf(points, 100);
  expect(extent?.high).toBeCloseTo(10.4);
  expect(extent && pathOf(points, extent)).toMatch(/^M0\.00 [\d.]+M100\.00 [\d.]+$/);
});

test("a flat curve and a single point have a range", () => {
  const extent = extentOf([{ step: 1, activation: 0 }], 10);
  expect(extent && extent.high > extent.low).toBe(true);
  expect(extentOf([], 10)).toBeNull();
});

test("steps past the schedule's end stay inside the plot", () => {
  expect(extentOf(points, 20)?.end).toBe(100);
});
