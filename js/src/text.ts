// Every word the front end says by itself, in one place, ready to be translated. What the kernel says
// (status lines, knob labels and help, recipe summaries) comes worded from Python.

export const text = {
  title: "peek_widget: what a unit looks for",
  picture: (unit: string, step: number) => `Picture of ${unit}, step ${step}`,
  waiting: "Waiting for the first picture",
  undecodable: "The last picture could not be decoded by this browser.",

  play: "Play",
  pause: "Pause",
  stepOnce: "One step",
  restart: "Restart with the same seed",
  seed: "Seed",
  newSeed: "Another seed, by chance",
  scrubber: "Step: look back at the run",
  resume: "Resume from here",

  objective: "Objective",
  kinds: { neuron: "at one place", channel: "over the whole map", class: "class score" },
  negative: "what it likes least",
  map: "Place on the layer's map",
  placeSpoken: ([row, column]: readonly number[], [rows, columns]: readonly number[]) =>
    `row ${row} of 0 to ${Number(rows) - 1}, column ${column} of 0 to ${Number(columns) - 1}`,
  middle: "Back to the middle",
  sizeBox: "Size in pixels; empty: the recipe's",
  sizeLabel: "Size",

  layer: "Layer",
  layerSlider: "Layer, by depth",
  unit: "Unit",
  unitNumber: "Unit number",
  unitSlider: "Unit",
  className: "Class",
  previousUnit: "Previous unit",
  nextUnit: "Next unit",
  randomUnit: "A unit by chance",
  unitOf: (channels: number) => `of ${channels === 0 ? "…" : channels}`,
  unitSpoken: (unit: number, channels: number, layer: string, name: string | null) =>
    `unit ${unit} of ${channels}, ${layer}${name ? `, ${name}` : ""}`,
  /** named_modules() calls the model itself "". */
  layerName: (name: string) => name || "output",
  layerSpoken: (name: string, index: number, count: number) => `${name}, layer ${index} of ${count}`,
  unitTitle: (unit: number) => `unit ${unit}`,
  channels: (n: number) => (n === 1 ? "1 unit" : `${n} units`),
  mapSize: (size: readonly number[]) =>
    size.length < 2 || (size[0] === 1 && size[1] === 1) ? null : `map\u00a0${size[0]}\u00a0×\u00a0${size[1]}`,
  receptiveField: (field: readonly number[] | null) =>
    field && field.length === 2 ? `sees\u00a0${field[0]}\u00a0×\u00a0${field[1]}\u00a0px` : null,
  stride: (stride: readonly number[] | null) =>
    stride && stride.length === 2
      ? `every\u00a0${stride[0] === stride[1] ? stride[0] : stride.join("\u00a0×\u00a0")}\u00a0px`
      : null,
  rectified: "after\u00a0a\u00a0ReLU",

  recipe: "Recipe",
  recipeSource: (source: string) => `Source: ${source}`,
  recipeNow: "Recipe: ",
  regularization: "Regularization",
  byHand: "by hand",
  unusedKnob: "not in this recipe",
  backToRecipe: (label: string) => `Give ${label} back to the recipe`,
  knobSpoken: (value: string, unit: string, byHand: boolean, ofRecipe: string | null) =>
    `${value}${unit ? ` ${unit}` : ""}, ${
      !byHand ? "as the recipe says" : `set by hand${ofRecipe === null ? "" : `, the recipe has ${ofRecipe}`}`
    }`,

  helpOn: (subject: string) => `What is this: ${subject}`,

  activation: "Activation",
  beforeRelu: "before any ReLU",
  curve: (first: string, last: string, step: number) =>
    `Activation over the steps: from ${first} to ${last} at step ${step}`,
  firstStep: "step 0",
  stepOf: (step: number, total: number) => `step ${step} of ${total}`,
  rate: (rate: string) => `${rate} steps/s`,

  realImages: "Real images",
  mostOrLeast: "Which images",
  most: "Most",
  least: "Least",
  mostHelp: "The images that excite the unit most",
  leastHelp: "The images that excite the unit least",
  wholeOrCut: "How they are shown",
  whole: "Whole",
  cut: "Crop",
  wholeHelp: "The whole image, with what the unit sees there framed",
  cutHelp: "Only what the unit sees",
  /** Begins with what can be read on it, for whoever speaks to the page and says what is to be pressed. */
  cropSpoken: (place: number, label: string, activation: string) =>
    `${[activation, label].filter(Boolean).join(" ")}, activation of image ${place}. Show it large`,
  stopLooking: "Stop",
  goOnLooking: "Go on",
  nothingYet: "No image of this unit yet.",
  back: "Back to all",
  previousCrop: "Previous image",
  nextCrop: "Next image",
  startFrom: "Start from this",
  startFromHelp: "Draw the unit from this crop on, rather than from noise",
  mapOn: "Map",
  mapHelp: "Bright where the image excites the unit, dark where not",
  noMap: "One number for the whole image: this layer has no map.",
  clipped: "It sees past the border here.",
  ownStart: "Begin from noise again",
  addImages: 'With real images beside: UnitExplorer(model, dataset="photos")',

  keep: "Save and copy",
  save: "Save",
  saveHelp: "Exact, as PNG with its recipe",
  copy: "Copy",
  copyHelp: "To the clipboard, without its recipe",
  code: "Code",
  codeHelp: "The Python that makes this explorer",
  saved: (name: string) => `Saved as ${name}.`,
  copied: "Copied.",
  copyRefused: "This browser does not copy pictures from here: save it.",
  copyByHand: "To copy by hand:",

  compare: "Compare",
  sheet: "Whole layer: every unit, tagged and counted",
  laterWaiting: "Asking the kernel for this part.",
  gauge: "The drawn picture beside real images",

  silent: "No answer from the kernel for some seconds. It may be busy with another cell, or gone.",
  gone: "The kernel is gone. This is its last picture: run the cell again for a live one.",
  aboutModel: "Model",
  aboutPreprocess: "Input",
  aboutDevice: "Device",
} as const;

/** About three significant digits, never an exponent in the range the controls have, a real minus sign. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(1).replace(/-/g, "−");
  const digits = size === 0 ? 0 : Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(size))));
  return value.toFixed(digits).replace("-", "−");
}

/** Always the same number of digits after the point, so that a running number does not jump. */
export function formatFixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–";
}
