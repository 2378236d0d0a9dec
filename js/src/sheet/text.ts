// As ../text.ts, for the part of the page that comes when the sheet is opened.

export const text = {
  sheetGrid: "Units of the layer",
  sheetSort: "Order",
  sortUnit: "by number",
  sortActivation: "by activation",
  sortTag: "by tag",
  sortAlike: "by likeness",
  sheetSearch: "Search tags, or a unit",
  sheetZoom: "Size of the pictures",
  stopDrawing: "Stop",
  goOnDrawing: "Go on",
  waiting: "Asking the kernel for the sheet.",
  tile: (unit: number, total: number, tags: string, activation: string, draft: boolean, looked: boolean) =>
    `unit ${unit} of ${total}, ${tags ? `tags: ${tags}` : looked ? "looked at, no tag" : "no tag"}` +
    `${activation ? `, activation ${activation}` : ", not drawn yet"}${draft ? ", a quick first version" : ""}`,
  suggested: (word: string, why: string) => `, suggested: ${word} (${why})`,
  selected: (n: number) => (n === 1 ? "1 unit" : `${n} units`),
  shownOf: (n: number, total: number) => (n === total ? "" : `${n} of ${total} shown`),
  openUnit: "Open on the bench",
  undo: "Undo",
  redo: "Redo",
  sheetKeys:
    "Arrows move, Shift or Ctrl selects several, Enter or a double click opens the unit. " +
    "A letter tags, the same letter again takes the tag off; 0: looked at, nothing found; . takes the suggestion; Ctrl+Z undoes.",
  keyMeans: (key: string) => `Tag for the key ${key}`,
  keyNone: "no key",
  saveTag: "Tag",
  cancel: "Cancel",
  changeKey: (word: string, key: string) => `Key for ${word}${key ? `, now ${key}` : ""}`,
  words: "Tags of this layer",
  noWords: "No tag yet: press a letter on a unit and say what it means.",
  unseen: "not looked at",
  lookedAt: (n: number, total: number) => `${n} of ${total} looked at`,
  markRest: "The rest too",
  markRestHelp: "Say that all units were looked at, so that shares are of the whole layer",
  onlyWord: (word: string, count: string) => `${word}: ${count}. Show only these`,
} as const;
