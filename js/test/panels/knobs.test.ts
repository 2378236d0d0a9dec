import { expect, test } from "vitest";
import { formatNumber } from "../../src/numbers";
import { formatKnob, POSITIONS, positionOf, valueAt } from "../../src/panels/knobs";
import type { KnobInfo } from "../../src/protocol.gen";

const base = { label: "x", unit: "", help: "" };
const linear: KnobInfo = { ...base, name: "blur", minimum: 0, maximum: 5, scale: "linear" };
const log: KnobInfo = { ...base, name: "step_size", minimum: 0.001, maximum: 20, scale: "log" };
const logFromZero: KnobInfo = { ...base, name: "total_variation", minimum: 0, maximum: 1, scale: "log" };
const all = [linear, log, logFromZero];

test.each(all)("$name: every position gives a value in range that leads back to it", (knob) => {
  for (let position = 0; position <= POSITIONS; position += 1) {
    const value = valueAt(knob, position);
    expect(value).toBeGreaterThanOrEqual(knob.minimum);
    expect(value).toBeLessThanOrEqual(knob.maximum);
    expect(positionOf(knob, value)).toBe(position);
  }
});

test.each(all)("$name: the ends are exact and the way between rises", (knob) => {
  expect(valueAt(knob, 0)).toBe(knob.minimum);
  expect(valueAt(knob, POSITIONS)).toBe(knob.maximum);
  for (let position = 1; position <= POSITIONS; position += 1) {
    expect(valueAt(knob, position)).toBeGreaterThan(valueAt(knob, position - 1));
  }
});

test("a logarithmic knob has the geometric mean in its middle", () => {
  expect(valueAt(log, POSITIONS / 2)).toBeCloseTo(Math.sqrt(0.001 * 20), 2);
});

test("values outside the range or not a number do not leave the track", () => {
  expect(positionOf(linear, 99)).toBe(POSITIONS);
  expect(positionOf(linear, -1)).toBe(0);
  expect(positionOf(linear, NaN)).toBe(0);
  expect(positionOf({ ...linear, maximum: 0 }, 1)).toBe(0);
});

test("numbers are short, and small ones are not rounded to nothing", () => {
  expect(formatKnob(linear, 1.4)).toBe("1.40");
  expect(formatKnob(linear, 0.004)).toBe("0.00400");
  expect(formatKnob(log, 12.345)).toBe("12.3");
  expect(formatNumber(-3)).toBe("−3.00");
  expect(formatNumber(0)).toBe("0");
  expect(formatNumber(Infinity)).toBe("–");
  expect(formatNumber(1234567)).toBe("1.2e+6");
});
