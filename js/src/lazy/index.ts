/** What the kernel sends as `part`, and ../later.ts puts into the panels. */

export { sheetContents } from "../sheet/panel";
export { SheetStore } from "../sheet/store";
export { ComparisonStore, compareContents } from "./compare";
export { gaugeContents } from "./gauge";
