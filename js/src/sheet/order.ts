// The order of the units in the grid.

/** The form in which tags are compared: close enough to Python's rule to find a tag whatever its spelling. */
export const folded = (word: string): string => word.normalize("NFC").trim().toLowerCase();

/** The tags of a unit; undefined for a unit that has not been reviewed. */
export type TagsOf = (unit: number) => readonly string[] | undefined;

/** Filters for the units that have not been reviewed. */
export const UNREVIEWED = "\0unreviewed";

export type Sort = "unit" | "activation" | "tag" | "similarity";

/** Which units to show, and in which order. */
export interface Query {
  total: number;
  sort: Sort;
  /** The text typed: part of a tag, or a unit's number. */
  search: string;
  /** A tag that the units must have, or UNREVIEWED; "" for any. */
  tag: string;
}

/** The units of a query in order. Those not drawn, tagged or compared yet come last. */
export function ordered(
  { total, sort, search, tag }: Query,
  tagsOf: TagsOf,
  activation: (unit: number) => number,
  bySimilarity: readonly number[],
): number[] {
  const typed = folded(search);
  const wanted = folded(tag);
  const units = Array.from({ length: total }, (_, unit) => unit).filter((unit) => {
    const tags = tagsOf(unit);
    if (tag === UNREVIEWED ? tags : tag && !tags?.some((each) => folded(each) === wanted)) return false;
    return !typed || String(unit) === typed || tags?.some((each) => folded(each).includes(typed));
  });
  if (sort === "unit") return units;
  const rankOf = new Map(bySimilarity.map((unit, at) => [unit, at]));
  const rank: Record<Exclude<Sort, "unit">, (unit: number) => number | string> = {
    activation: (unit) => (Number.isNaN(activation(unit)) ? Infinity : -activation(unit)),
    tag: (unit) => folded(tagsOf(unit)?.[0] ?? "\uffff"),
    similarity: (unit) => rankOf.get(unit) ?? Infinity,
  };
  const ranks = new Map(units.map((unit) => [unit, rank[sort](unit)]));
  return units.sort((a, b) => {
    const [one, other] = [ranks.get(a) ?? 0, ranks.get(b) ?? 0];
    return one < other ? -1 : one > other ? 1 : a - b;
  });
}
