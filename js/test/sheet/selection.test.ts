import { expect, test } from "vitest";
import { Selection } from "../../src/sheet/selection";

test("selects one unit, toggles another, extends a range in the order shown", () => {
  const selection = new Selection();
  selection.only(4);
  selection.extend(7, [0, 1, 2, 3, 4, 5, 6, 7]);
  expect(selection.targets).toEqual([4, 5, 6, 7]);
  selection.extend(2, [0, 1, 2, 3, 4, 5, 6, 7]);
  expect(selection.targets).toEqual([2, 3, 4]);
  selection.toggle(9);
  selection.toggle(3);
  expect(selection.targets).toEqual([2, 4, 9]);
  selection.only(9);
  selection.extend(1, [5, 9, 2, 1, 4]);
  expect(selection.targets).toEqual([1, 2, 9]);
  selection.units.clear();
  expect(selection.targets).toEqual([1]);
});
