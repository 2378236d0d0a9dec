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
  seeds: "Seeds drawn at once",
  seedTile: "seed",
  seedSpoken: (seed: number) => `seed ${seed}`,
  seedHelp: (seed: number) => `Draw seed ${seed} large`,
  scrubber: "Step (drag to review the run)",
  resume: "Resume from here",

  objective: CONTROL_LABELS.objective,

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

  recipe: CONTROL_LABELS.recipe,
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
  startFromNoise: "Start from noise again",
  redraw: "Draw again with the new weights",
  redrawAlways: "Redraw while it trains",
  redrawStop: "Stop redrawing",

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
  runAgain: "Run the cell again to see this.",
  gauge: "Activation: optimized image vs. real images",

  silent: "The kernel has not responded for a few seconds. It may be busy or disconnected.",
  gone: "Kernel disconnected. Showing the last image; re-run the cell to reconnect.",
  tagsKept: (units: number) =>
    `Tags of ${units === 1 ? "1 unit" : `${units} units`} are lost with this page: save them and pass tags=Tags.load("tags.json").`,
  saveTags: "Save tags.json",
} as const;
