// The texts of a sheet's static page. Not in ../text.ts, which is stored in every saved widget state.

export const text = {
  search: "Search tags or units",
  searchHelp: "Part of a tag, a unit number, or a range such as 12-40",
  sort: "Sort",
  orders: { unit: "by unit", activation: "by activation", tag: "by tag", likeness: "by similarity" },
  zoom: "Thumbnail size",
  sheet: "Units: arrow keys move, Enter opens",
  shown: (shown: number, all: number) => (shown === all ? `${all} units` : `${shown} of ${all} units`),
  nothing: "No matching units. Clear the search to see all units.",
  clear: "Show all",

  counts: "Tags",
  word: "tag",
  units: "units",
  reviewed: (seen: number, total: number, untagged: number) =>
    seen < total
      ? `${seen} of ${total} units reviewed, ${untagged} of them untagged. 95 % intervals assume a random sample of units.`
      : `All ${total} units reviewed, ${untagged} of them untagged.`,
  showUntagged: "Reviewed, untagged",
  noTags: "No unit is tagged.",

  unit: (unit: number) => `Unit ${unit}`,
  spoken: (unit: number, tags: string) => `Unit ${unit}${tags ? `: ${tags}` : ""}`,
  activation: (value: string) => `activation ${value}`,
  gauge: (value: string) => `${value}× the top real image`,
  seed: (seed: number) => `seed ${seed}`,
  crops: "Top dataset examples",
  recipe: "Python code",
  copy: "Copy",
  copied: "Copied.",
  notCopied: "Copying is blocked for local files; select the text instead.",
  download: "Save picture",
  previous: "Previous unit",
  next: "Next unit",
  close: "Close",
};
