/** The lazily loaded script: the kernel sends it on request, stores/lazy.ts imports it, panels/lazy.ts shows its panels. */

export { sheetContents } from "../sheet/panel";
export { CircuitStore } from "../stores/circuit";
export { ComparisonStore } from "../stores/comparison";
export { PhotoStore } from "../stores/photo";
export { SheetStore } from "../stores/sheet";
export { circuitContents } from "./circuit";
export { compareContents } from "./compare";
export { detailsContents } from "./details";
export { examplesContents } from "./examples";
export { gaugeContents } from "./gauge";
export { nameList } from "./name-list";
export { photoContents } from "./photo";
export { unitPicker } from "./unit-picker";
