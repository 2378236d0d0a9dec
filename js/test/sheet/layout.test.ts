import { describe, expect, test } from "vitest";
import { rowsInView } from "../../src/sheet/layout";

describe("rows in view", () => {
  test("include a few more above and below, never past an end", () => {
    expect(rowsInView(0, 300, 100, 50, 2)).toEqual({ first: 0, end: 5 });
    expect(rowsInView(2050, 300, 100, 50, 2)).toEqual({ first: 18, end: 26 });
    expect(rowsInView(4700, 300, 100, 50, 2)).toEqual({ first: 45, end: 50 });
    // after a search the rows are few, and the scroll position is still from before
    expect(rowsInView(4700, 300, 100, 3, 2)).toEqual({ first: 2, end: 3 });
    expect(rowsInView(0, 300, 100, 0, 2)).toEqual({ first: 0, end: 0 });
  });

  test("cover every visible row at any scroll position", () => {
    for (let top = 0; top < 3000; top += 37) {
      const { first, end } = rowsInView(top, 410, 114, 27, 1);
      const last = Math.min(26, Math.floor((top + 410) / 114));
      for (let row = Math.floor(top / 114); row <= last && row < 27; row += 1) {
        expect(row >= first && row < end).toBe(true);
      }
    }
  });
});
