import { describe, expect, test } from "vitest";
import { fitted, rowsInView } from "../../src/sheet/layout";

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

describe("tiles beside each other", () => {
  test("leave no strip as wide as a tile, nor less than none, and are about as large as asked for", () => {
    for (let width = 100; width < 1500; width += 7) {
      for (const tile of [48, 96, 160]) {
        const found = fitted(width, tile, 6);
        const left = width - found.columns * found.tile - (found.columns - 1) * 6;
        if (width >= tile) expect(left >= 0 && left < found.columns).toBe(true);
        expect(found.tile).toBeGreaterThan(tile * 0.6);
        expect(found.tile).toBeLessThan(tile * 1.6);
      }
    }
    // where the panel is hidden, or narrower than a tile
    expect(fitted(-12, 96, 6)).toEqual({ columns: 1, tile: 96 });
  });
});
