import { expect, test } from "vitest";
import { readWhole } from "../../src/numbers";
import { numberBox, slider } from "../../src/ui/controls";

const signal = new AbortController().signal;
const fire = (element: Element, type: string): void => void element.dispatchEvent(new Event(type));

test.each([
  ["12", 12],
  ["12.6", 13],
  ["-4", 0],
  ["9999", 511],
  ["1e2", 100],
  ["", null],
  ["  ", null],
  ["abc", null],
  ["1e999", null],
  ["NaN", null],
])("typed %j gives %j in 0 to 511", (typed, expected) => {
  expect(readWhole(typed, 0, 511)).toBe(expected);
});

test("a slider is left alone while it is dragged, and updated when the drag ends", () => {
  const range = slider("x", () => undefined, signal);
  range.show({ maximum: 10, value: 2, spoken: "two" });
  fire(range.input, "pointerdown");
  range.show({ maximum: 10, value: 9, spoken: "nine" });
  expect(range.input.value).toBe("2");
  expect(range.input.getAttribute("aria-valuetext")).toBe("nine");
  fire(range.input, "pointerup");
  expect(range.input.value).toBe("9");
});

test("an update from before the last move does not pull the slider back", () => {
  const given: number[] = [];
  const range = slider("x", (value) => given.push(value), signal);
  range.show({ maximum: 10, value: 2, spoken: "" });
  fire(range.input, "pointerdown");
  range.show({ maximum: 10, value: 9, spoken: "" });
  range.input.value = "5";
  fire(range.input, "input");
  fire(range.input, "pointerup");
  expect(given).toEqual([5]);
  expect(range.input.value).toBe("5");
});

test("a number box takes effect when typing ends, clamps, and never gives NaN", () => {
  const given: number[] = [];
  const box = numberBox("x", (value) => given.push(value), signal);
  box.show(3, 99);
  const type = (text: string, ...events: string[]): void => {
    box.input.value = text;
    for (const event of ["input", ...events]) fire(box.input, event);
  };
  type("4");
  expect(given).toEqual([]);
  box.show(50, 99);
  expect(box.input.value).toBe("4");
  type("42", "change");
  type("100", "change");
  type("-1", "change");
  type("", "change");
  expect(given).toEqual([42, 99, 0]);
  expect(box.input.value).toBe("50");
  type("x", "blur");
  expect(given.every(Number.isInteger)).toBe(true);
});
