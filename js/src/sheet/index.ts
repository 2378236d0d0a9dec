/** What the kernel sends as `part`, and ../sheet.ts puts into a panel. */
export { sheetContents } from "./panel";
export { SheetStore } from "./store";
