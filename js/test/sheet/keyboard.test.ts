import { describe, expect, test } from "vitest";
import { letterOf, moved } from "../../src/sheet/keyboard";

describe("keys", () => {
  test("move by one, a row, a page or to the ends, and stay inside", () => {
    const go = (key: string, at: number) => moved(key, at, 5, 23, 3);
    expect(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => go(key, 7))).toEqual([6, 8, 2, 12]);
    expect(["ArrowLeft", "ArrowUp", "PageUp"].map((key) => go(key, 0))).toEqual([0, 0, 0]);
    expect(["ArrowRight", "ArrowDown", "PageDown"].map((key) => go(key, 22))).toEqual([22, 22, 22]);
    // a last row that is not full: down from above its gap stays
    expect(go("ArrowDown", 19)).toBe(19);
    expect([go("Home", 7), go("End", 7), go("PageDown", 1), go("PageUp", 17)]).toEqual([0, 22, 16, 2]);
    expect(go("a", 7)).toBeNull();
    expect(moved("ArrowDown", -1, 5, 0, 3)).toBeNull();
  });

  test("give the Latin letter whatever script the keyboard writes", () => {
    expect([letterOf("d", "KeyD"), letterOf("D", "KeyD"), letterOf("в", "KeyD")]).toEqual(["d", "d", "d"]);
    expect([letterOf("1", "Digit1"), letterOf("Enter", "Enter"), letterOf("ü", "BracketLeft")]).toEqual(["", "", ""]);
  });
});
