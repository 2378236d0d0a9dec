import { expect, test } from "vitest";
import { bytesOf, readHistory, readStatus } from "../src/decode";

function history(offset: number, ...numbers: number[]): DataView {
  const view = new DataView(new ArrayBuffer(offset + numbers.length * 4), offset);
  numbers.forEach((number, at) => view.setFloat32(at * 4, number, true));
  return view;
}

test.each([0, 1, 3])("history is read from a view that starts at byte %i", (offset) => {
  expect(readHistory(history(offset, 1, -2.5, -3, -1, 2, Number.NaN, 4, 5))).toEqual([
    { step: 1, activation: -2.5, low: -3, high: -1 },
    { step: 2, activation: Number.NaN, low: 4, high: 5 },
  ]);
});

test("half a row at the end of the history is left out", () => {
  expect(readHistory(history(0, 1, 2, 3, 4, 5, 6))).toHaveLength(1);
  expect(readHistory(null)).toEqual([]);
});

test("binary values come in three shapes", () => {
  const buffer = new Uint8Array([9, 1, 2, 3]).buffer;
  expect(bytesOf(new DataView(buffer, 1))).toEqual(new Uint8Array([1, 2, 3]));
  expect(bytesOf(new Uint8Array(buffer, 2))).toEqual(new Uint8Array([2, 3]));
  expect(bytesOf(buffer)).toHaveLength(4);
  expect(bytesOf(new DataView(new ArrayBuffer(0)))).toBeNull();
  expect(bytesOf(undefined)).toBeNull();
});

test("an empty status is a run that has yet to start", () => {
  expect(readStatus({}).state).toBe("starting");
  expect(readStatus(undefined).values).toEqual({});
  expect(readStatus({ n: 4, state: "done" })).toMatchObject({ n: 4, state: "done", error: null });
});
