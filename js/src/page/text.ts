// Every word that a sheet's page says by itself. Not in ../text.ts, which travels in every saved widget.

export const text = {
  search: "Search tags or numbers",
  searchHelp: "A part of a tag, a unit's number, or a range such as 12-40",
  sort: "Order",
  orders: { unit: "by unit", activation: "by activation", tag: "by tag", likeness: "by likeness" },
  zoom: "Size of the pictures",
  smaller: "Smaller pictures",
  larger: "Larger pictures",
  sheet: "Units: arrow keys move, Enter opens",
  shown: (shown: number, all: number) => (shown === all ? `${all} units` : `${shown} of ${all} units`),
  nothing: "No unit fits. Clear the search to see all of them.",
  clear: "Show all",

  counts: "Tags",
  word: "tag",
  units: "units",
  looked: (seen: number, total: number, untagged: number) =>
    seen < total
      ? `${seen} of ${total} units were looked at, ${untagged} of them without a tag. The ranges (95 %) hold if these ` +
        "were drawn blindly from the layer."
      : `All ${total} units were looked at, ${untagged} of them without a tag.`,
  showUntagged: "Looked at, no tag",
  noTags: "No unit has a tag.",

  unit: (unit: number) => `Unit ${unit}`,
  spoken: (unit: number, tags: string) => `Unit ${unit}${tags ? `: ${tags}` : ""}`,
  activation: (value: string) => `activation ${value}`,
  gauge: (value: string) => `${value} × the best real image`,
  seed: (seed: number) => `seed ${seed}`,
  crops: "Real images that excite it most",
  recipe: "How it was drawn",
  copy: "Copy",
  copied: "Copied",
  notCopied: "This browser doesn't let a page from a file copy; select the text instead.",
  download: "Save the picture",
  previous: "Previous unit",
  next: "Next unit",
  close: "Close",
};
