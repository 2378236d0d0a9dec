import { describe, expect, test } from "vitest";
import { ordered, UNREVIEWED } from "../../src/sheet/order";

describe("the order of the units", () => {
  const tagsOf = (unit: number) => ({ 1: ["dog"], 2: ["Cat", "dog"], 3: [] as string[] })[unit];
  const activation = (unit: number) => [3, 9, Number.NaN, 5, 1][unit] ?? Number.NaN;
  const query = { total: 5, sort: "unit" as const, search: "", tag: "" };
  const lay = (changes: object) => ordered({ ...query, ...changes }, tagsOf, activation, [4, 0, 2]);

  test("is by number, activation, tag or similarity, with unknown ones last", () => {
    expect(lay({})).toEqual([0, 1, 2, 3, 4]);
    expect(lay({ sort: "activation" })).toEqual([1, 3, 0, 4, 2]);
    expect(lay({ sort: "tag" })).toEqual([2, 1, 0, 3, 4]);
    expect(lay({ sort: "similarity" })).toEqual([4, 0, 2, 1, 3]);
  });

  test("contains only units that match the search", () => {
    expect(lay({ search: " DO" })).toEqual([1, 2]);
    expect(lay({ search: "3" })).toEqual([3]);
    expect(lay({ tag: "cat" })).toEqual([2]);
    expect(lay({ tag: UNREVIEWED })).toEqual([0, 4]);
    expect(lay({ tag: "dog", search: "cat" })).toEqual([2]);
  });
});
