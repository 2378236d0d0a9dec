// The texts of the contact sheet in the widget, as ../text.ts.

export const text = {
  sheetGrid: "Units of the layer",
  sheetSort: "Sort",
  sortUnit: "by number",
  sortActivation: "by activation",
  sortTag: "by tag",
  sortSimilarity: "by similarity",
  sheetSearch: "Search tags or units",
  sheetZoom: "Thumbnail size",
  stopDrawing: "Stop",
  resumeDrawing: "Resume",
  waiting: "Loading…",
  tile: (unit: number, total: number, tags: string, activation: string, draft: boolean, reviewed: boolean) =>
    `unit ${unit} of ${total}, ${tags ? `tags: ${tags}` : reviewed ? "reviewed, untagged" : "untagged"}` +
    `${activation ? `, activation ${activation}` : ", not drawn yet"}${draft ? ", preview" : ""}`,
  suggested: (word: string, why: string) => `, suggested: ${word} (${why})`,
  selected: (n: number) => (n === 1 ? "1 unit" : `${n} units`),
  shownOf: (n: number, total: number) => (n === total ? "" : `${n} of ${total} shown`),
  openUnit: "Open in explorer",
  undo: "Undo",
  redo: "Redo",
  sheetKeys:
    "Arrow keys: move. Shift or Ctrl: select several. Enter or double-click: open the unit. " +
    "Letter: add its tag, again to remove it. 0: mark reviewed. .: accept suggestion. Ctrl+Z: undo.",
  keyMeans: (key: string) => `Tag for shortcut ${key.toUpperCase()}`,
  saveTag: "Tag",
  cancel: "Cancel",
  changeKey: (word: string, key: string) => `Shortcut for ${word}${key ? `, now ${key.toUpperCase()}` : ""}`,
  words: "Tags of this layer",
  noWords: "No tags yet: select a unit and press a letter to define a tag.",
  unreviewed: "unreviewed",
  reviewed: (n: number, total: number) => `${n} of ${total} reviewed`,
  markRest: "Mark the rest reviewed",
  markRestHelp: "Percentages then refer to the whole layer",
  onlyWord: (word: string, count: string) => `${word}: ${count}. Show only these`,
} as const;
