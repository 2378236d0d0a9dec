import { expect, test } from "vitest";
import { bandOf, extentOf, pathOf } from "../../src/panels/curve";

const point = (step: number, activation: number, low = activation, high = low) => ({ step, activation, low, high });
const points = [point(0, 0, -2), point(50, NaN, 8), point(100, 10, 20)];

test("the range covers the pictures and the views, and what was not measured does not count", () => {
  const extent = extentOf(points, 100);
  expect(extent.low).toBeCloseTo(-2.88);
  expect(extent.high).toBeCloseTo(20.88);
  expect(pathOf([[50, 20.88]], { ...extent, low: -2.88, high: 20.88 })).toBe("M50.00 0.00");
});

test("the band covers each point and its neighbors", () => {
  const views = [point(20, NaN, 10), point(40, NaN, 30), point(60, NaN, 20)];
  const band = pathOf(bandOf(views), { low: 0, high: 40, end: 100 });
  expect(band).toBe("M20.00 10.00L40.00 10.00L60.00 10.00L60.00 20.00L40.00 30.00L20.00 30.00");
});

test("a flat curve and a single point have a range, and none has none", () => {
  const extent = extentOf([point(1, 0)], 10);
  expect(extent.high > extent.low).toBe(true);
  expect(extentOf([], 10)).toEqual({ low: Infinity, high: -Infinity, end: 10 });
  expect(pathOf(bandOf([]), extent)).toBe("");
});

test("steps past the schedule's end stay inside the plot", () => {
  expect(extentOf(points, 20).end).toBe(100);
});
