// All texts of the front end in one place, ready to be translated. The kernel sends its own texts (status lines, knob
// labels and help, recipe summaries).

import { CONTROL_LABELS, type LayerInfo } from "./protocol.gen";

export const text = {
  title: "peek_widget: feature visualization",
  picture: (unit: string, step: number) => `Picture of ${unit}, step ${step}`,
  waiting: "Waiting for the first picture",
  undecodable: "This browser could not decode the last picture.",

  play: "Play",
  pause: "Pause",
  stepOnce: "Single step",
  restart: "Restart with the same seed",
  seed: CONTROL_LABELS.seed,
  newSeed: "Random seed",
  scrubber: "Step (drag to review the run)",
  resume: "Resume from here",

  objective: CONTROL_LABELS.objective,
  kinds: {
    neuron: "neuron (one position)",
    channel: "channel (mean over map)",
    class: "class logit",
    custom: "custom (set in Python)",
  },
  negative: CONTROL_LABELS.negative,
  negativeHelp: "Negative objective: lowers the activation instead of raising it",
  featureMap: "Position in the feature map",
  position: ([row, column]: readonly number[], [rows, columns]: readonly number[]) =>
    `row ${row}, column ${column} (of ${rows}\u00a0×\u00a0${columns})`,
  center: "Reset to center",
  sizeBox: "Image size in px (empty = recipe default)",
  sizeLabel: CONTROL_LABELS.size,

  layer: CONTROL_LABELS.layer,
  layerSlider: "Layer depth",
  unit: CONTROL_LABELS.unit,
  unitNumber: "Unit number",
  unitSlider: "Unit",
  className: "Class",
  previousUnit: "Previous unit",
  nextUnit: "Next unit",
  randomUnit: "Random unit",
  unitOf: (channels: number) => `of ${channels === 0 ? "…" : channels}`,
  unitSpoken: (unit: number, channels: number, layer: string, name: string | null) =>
    `unit ${unit} of ${channels}, ${layer}${name ? `, ${name}` : ""}`,
  /** named_modules() calls the model itself "". */
  layerName: (name: string) => name || "output",
  layerSpoken: (name: string, index: number, count: number) => `${name}, layer ${index} of ${count}`,
  /** The facts in a row of the list of layers: units, map and field. */
  layerFacts: ({ channels, size, receptive_field }: LayerInfo) =>
    [
      String(channels),
      (size[0] ?? 1) * (size[1] ?? 1) > 1 ? `${size[0]}\u00a0×\u00a0${size[1]}` : "",
      receptive_field ? `${receptive_field[0]}\u00a0px` : "",
    ].join("\t"),
  unknownName: (typed: string, what: string) => `No ${what.toLowerCase()} is called “${typed}”.`,
  nearest: (name: string) => `Did you mean ${name}?`,
  openList: (what: string) => `All: ${what}`,
  unitPicker: "Units by their pictures",
  unitTitle: (unit: number) => `unit ${unit}`,
  channels: (n: number) => (n === 1 ? "1 unit" : `${n} units`),
  mapSize: (size: readonly number[]) =>
    size.length < 2 || (size[0] === 1 && size[1] === 1)
      ? null
      : `feature\u00a0map\u00a0${size[0]}\u00a0×\u00a0${size[1]}`,
  receptiveField: (field: readonly number[] | null) =>
    field && field.length === 2 ? `receptive\u00a0field\u00a0${field[0]}\u00a0×\u00a0${field[1]}\u00a0px` : null,
  stride: (stride: readonly number[] | null) =>
    stride && stride.length === 2
      ? `stride\u00a0${stride[0] === stride[1] ? stride[0] : stride.join("\u00a0×\u00a0")}\u00a0px`
      : null,
  rectified: "post-ReLU",

  recipe: CONTROL_LABELS.recipe,
  recipeSource: (source: string) => `Source: ${source}`,
  recipeNow: "Recipe: ",
  regularization: "Regularization",
  overridden: "overridden",
  unusedKnob: "unused by this recipe",
  resetKnob: (label: string) => `Reset ${label} to the recipe's value`,
  knobSpoken: (value: string, unit: string, overridden: boolean, recipeValue: string | null) =>
    `${value}${unit ? ` ${unit}` : ""}, ${
      !overridden ? "recipe default" : `overridden${recipeValue === null ? "" : `, recipe value ${recipeValue}`}`
    }`,

  helpOn: (subject: string) => `Help: ${subject}`,

  activation: "Activation",
  beforeRelu: "pre-ReLU",
  curve: (first: string, last: string, step: number) => `Activation per step: from ${first} to ${last} at step ${step}`,
  firstStep: "step 0",
  stepOf: (step: number, total: number) => `step ${step} of ${total}`,
  rate: (rate: string) => `${rate} steps/s`,

  examples: "Dataset examples",
  topOrBottom: "Ranking",
  top: "Top",
  bottom: "Bottom",
  topHelp: "Images with the highest activation",
  bottomHelp: "Images with the lowest activation",
  fullOrCut: "Display",
  full: "Full image",
  cut: "Receptive field",
  focus: "Focus",
  fullHelp: "Full image, receptive field or its focus outlined",
  cutHelp: "Cropped to the receptive field",
  focusHelp: "Cropped to where the gradient is (95 %)",
  /** Begins with the visible text, so that speech input finds the button by what can be read on it. */
  cropSpoken: (rank: number, label: string, activation: string) =>
    `${[activation, label].filter(Boolean).join(" ")}, activation of example ${rank}. Enlarge`,
  stopPass: "Stop",
  resumePass: "Resume",
  noExamples: "No examples for this unit yet.",
  back: "Back to all",
  previousCrop: "Previous example",
  nextCrop: "Next example",
  startFrom: "Use as initial image",
  startFromHelp: "Optimize from this crop instead of noise",
  map: "Activation map",
  mapHelp: "Bright = high activation",
  noMap: "This layer is not spatial: one activation per image.",
  clipped: "The receptive field extends beyond the image here.",
  startFromNoise: "Start from noise again",
  redraw: "Draw again with the new weights",
  redrawAlways: "Redraw while it trains",
  redrawStop: "Stop redrawing",
  addImages: 'To compare with your own images: UnitExplorer(model, dataset="photos")',

  saveGroup: "Save and copy",
  save: "Save",
  saveHelp: "Lossless PNG with recipe metadata",
  copy: "Copy",
  copyHelp: "Copy the image to the clipboard (without recipe metadata)",
  code: "Code",
  codeHelp: "Copy Python code that reproduces this explorer",
  saved: (name: string) => `Saved as ${name}.`,
  copied: "Copied.",
  copyRefused: "This browser blocks copying images here; use Save.",
  copyCode: "This browser blocks copying here; select the code:",

  compare: "Compare",
  photo: "Your photo",
  circuit: "Circuit",
  sheet: "Whole layer",
  realImages: "Real images",
  details: "Details",
  tabs: "Beside the picture",
  widen: "Wider tab, without the sliders",
  lecture: "Lecture mode: larger type and picture",
  loading: "Loading…",
  gauge: "Activation: optimized image vs. real images",

  silent: "The kernel has not responded for a few seconds. It may be busy or disconnected.",
  gone: "Kernel disconnected. Showing the last image; re-run the cell to reconnect.",
  tagsKept: (units: number) =>
    `Tags of ${units === 1 ? "1 unit" : `${units} units`} are lost with this page: save them and pass tags=Tags.load("tags.json").`,
  saveTags: "Save tags.json",
  aboutModel: "Model",
  aboutPreprocess: "Input",
  aboutDevice: "Device",
} as const;
