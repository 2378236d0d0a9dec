import { expect, test } from "vitest";
import { nearestName, shorten, shownRows, treeOf, unfoldedFor } from "../../src/ui/tree";

const NAMES = ["conv1", "layer1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "head.fc", "output"];

test("names with dots are a tree in their own order; a module that holds one other is one row with it", () => {
  expect(treeOf(NAMES).map(({ label, level, at, folder }) => [label, level, at, folder])).toEqual([
    ["conv1", 1, 0, false],
    ["layer1", 1, 1, true],
    ["0", 2, -1, true],
    ["conv1", 3, 2, false],
    ["conv2", 3, 3, false],
    ["1.conv1", 2, 4, false],
    ["head.fc", 1, 5, false],
    ["output", 1, 6, false],
  ]);
});

test("of many layers only the modules round the current one are open", () => {
  const many = Array.from({ length: 30 }, (_, at) => [`a${at}.x`, `a${at}.y.0`, `a${at}.y.1`]).flat();
  const rows = treeOf(many);
  const shown = shownRows(rows, unfoldedFor(rows, "a7.y.1")).map(({ path }) => path);
  expect(shown).toHaveLength(30 + 2 + 2);
  expect(shown).toContain("a7.y.1");
  expect(shownRows(treeOf(NAMES), unfoldedFor(treeOf(NAMES), ""))).toHaveLength(8);
});

test("a long name keeps its end, in which names differ", () => {
  expect(shorten("conv1")).toBe("conv1");
  const short = shorten(`${"block.".repeat(60)}conv2`);
  expect(short).toHaveLength(32);
  expect(short).toMatch(/^block\..*….*\.conv2$/);
});

test("the nearest name is found for a slip, and none for what is far from all", () => {
  expect(nearestName(NAMES, "layer1.0.cnov1")).toBe("layer1.0.conv1");
  expect(nearestName(NAMES, "HEAD.FC2")).toBe("head.fc");
  expect(nearestName(NAMES, "transformer")).toBeUndefined();
});
