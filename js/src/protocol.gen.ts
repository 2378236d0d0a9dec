// Made by scripts/generate_protocol.py from peek_widget/live/protocol and peek_widget/live/controls.py: don't edit.
// biome-ignore-all format: generated

export type Binary = DataView | ArrayBuffer | Uint8Array;
/** left, top, right, bottom, as shares of the image. */
export type Box = readonly [number, number, number, number];

export const LARGEST_SEED = 9007199254740991;
export const MOST_SEEDS = 4;
export const ACCENTUATE_STRENGTH = 5;
export const UNITS_LISTED = 9;
export const [SMALLEST_SIZE, LARGEST_SIZE] = [8, 2048] as const;

export const TRAIT_NAMES = ["layer", "unit", "recipe", "blur", "jitter", "decay", "total_variation", "step_size", "seed", "size", "objective", "at", "negative", "device", "seeds_at_once", "playing", "redraw", "_layer_list", "_recipe_list", "_knobs", "class_names", "_about", "frame", "activation", "step", "_history", "status", "evidence_status", "gauge", "tags", "tag_keys"] as const;
export const LIVE_TRAITS = ["frame", "activation", "step", "_history", "status"] as const;
export type KnobName = "blur" | "jitter" | "decay" | "total_variation" | "step_size";
export type ObjectiveKind = "neuron" | "channel" | "class" | "custom";

/** A layer. Names come from somebody's model: text to show, never markup. */
export interface LayerInfo {
  name: string;
  kind: string;
  channels: number;
  size: readonly number[];
  receptive_field: readonly number[] | null;
  stride: readonly number[] | null;
  rectified: boolean;
  objectives: readonly ObjectiveKind[];
  named: boolean;
}

/** A recipe that can be chosen. */
export interface RecipeInfo {
  name: string;
  summary: string;
  source: string;
}

/** A knob, as `peek_widget.ascent.KNOBS` has it. */
export interface KnobInfo {
  name: KnobName;
  label: string;
  minimum: number;
  maximum: number;
  scale: "linear" | "log";
  unit: string;
  help: string;
}

/** The model, the machine and the version. */
export interface About {
  model: string;
  preprocess: string;
  device: string;
  devices: readonly string[];
  version: string;
  help: Record<string, string>;
}

/** The state of the run. */
export interface Status {
  n: number;
  run: number;
  state: "starting" | "running" | "paused" | "done" | "error" | "idle" | "closed";
  text: string;
  error: string | null;
  rate: number;
  step: number;
  total: number;
  checkpoints: readonly number[];
  viewing: boolean;
  weights_changed: boolean;
  comparing: boolean;
  unit: number;
  layer: string;
  size: number | readonly [number, number];
  start: string;
  values: Partial<Record<KnobName, number>>;
  recipe_values: Partial<Record<KnobName, number>>;
  activation_before_relu: boolean;
}

/** Progress of the pass over the dataset; an empty object without a dataset. */
export interface EvidenceStatus {
  state: "waiting" | "running" | "stopped" | "done" | "given" | "error";
  text: string;
  problem: string;
  layer: string;
  unit: number;
  images: number;
  total: number;
  k: number;
}

/** The score of a finished picture. */
export interface PictureScoreText {
  text: string;
  rank: number | null;
  units: number;
  robustness: number | null;
  activation_ratio: number | null;
}

/** Activations pre-ReLU, at the position with the highest one: of the images, and of the optimized picture. */
export interface Gauge {
  layer: string;
  unit: number;
  images: number;
  lowest: number;
  median: number;
  high: number;
  best: number;
  activation: number | null;
  activation_ratio: number | null;
  text: string;
  score: PictureScoreText | null;
}

/** A unit that the unit shown reads. */
export interface CircuitRow {
  layer: string;
  unit: number;
  weight: number;
  contribution: number;
  effect: number | null;
}

/** A unit of a next layer, or a class, and what it loses when the unit shown is held. */
export interface CircuitTarget {
  layer: string;
  unit: number;
  name: string;
  effect: number;
  guess: number | null;
}

/** A dataset example of a unit of the circuit. */
export interface CircuitCrop {
  activation: number;
  label: string;
}

/** One example. */
export interface CropInfo {
  id: number;
  key: string;
  activation: number;
  name: string;
  label: string;
  clipped: boolean;
  box: Box;
  size: readonly [number, number];
  image: number;
  problem: string;
}

/** One class: its probability on the photo as it is, and with a part of it changed (None where nothing is). */
export interface PhotoClass {
  name: string;
  before: number;
  after: number | null;
}

/** A unit that fires on the photo; the message's buffer of the same number is where: a gray PNG over the photo. */
export interface PhotoUnit {
  unit: number;
  activation: number;
  percentile: number;
  label: string;
  tags: string;
  map: boolean;
}

/** The most unusual units of one layer; `real` says whether they are compared with real images. */
export interface PhotoLayer {
  layer: string;
  real: boolean;
  units: readonly PhotoUnit[];
}

/** One picture of a comparison; the message's buffer of the same number is its JPEG. */
export interface ComparedPicture {
  caption: string;
  note: string;
  activation: number | null;
  bar: readonly [number, number];
  controls: ControlValues;
}

/** What is known of the circuit of the unit shown; the kernels of `inputs` come as PNGs, one for each. */
export interface CircuitSeen {
  kind: "circuit";
  layer: string;
  unit: number;
  state: "" | "reading" | "measuring" | "drawing" | "done" | "none" | "error";
  problem: string;
  text: string;
  remarks: readonly string[];
  inputs: readonly CircuitRow[];
  outputs: readonly CircuitTarget[];
  filter: boolean;
}

/** The drawn picture of a unit of the circuit, a JPEG; or why there is none. */
export interface CircuitPicture {
  kind: "circuit_picture";
  layer: string;
  unit: number;
  draft: boolean;
  problem: string;
}

/** Dataset examples of a unit of the circuit, best first, a JPEG each; or a sentence why there are none. */
export interface CircuitCrops {
  kind: "circuit_crops";
  layer: string;
  unit: number;
  crops: readonly CircuitCrop[];
  problem: string;
  can_find: boolean;
}

/** The unit shown as it is, and with one input held at its median: two JPEGs. */
export interface CircuitWithout {
  kind: "circuit_without";
  layer: string;
  unit: number;
  state: "" | "drawing" | "done" | "error";
  text: string;
  problem: string;
}

/** The examples of a unit, at most nine, best first, with their JPEGs as buffers. */
export interface CropSet {
  kind: "crops";
  layer: string;
  unit: number;
  bottom: boolean;
  view: "whole" | "field" | "focus";
  crops: readonly CropInfo[];
}

/** One example large: the first buffer is the whole image as JPEG, the second the map, one byte a position. */
export interface LargeCrop {
  kind: "large";
  id: number;
  layer: string;
  unit: number;
  name: string;
  label: string;
  activation: number;
  clipped: boolean;
  box: Box;
  size: readonly [number, number];
  map: readonly number[];
  area: Box;
  problem: string;
}

/** What the network sees in the photo. */
export interface PhotoSeen {
  kind: "photo";
  n: number;
  state: "" | "looking" | "done" | "error";
  problem: string;
  text: string;
  width: number;
  height: number;
  shown: Box;
  classes: readonly PhotoClass[];
  note: string;
  layer: string;
  units: readonly PhotoUnit[];
  place: boolean;
  changed: boolean;
  picture: boolean;
}

/** A picture of a listed unit, a JPEG in the buffer; without a buffer there is none, and `problem` says why. */
export interface PhotoPicture {
  kind: "photo_picture";
  layer: string;
  unit: number;
  of: "drawn" | "crop";
  problem: string;
}

/** The most unusual units of all layers; one buffer for each unit with a `map`, as of `PhotoSeen`. */
export interface PhotoLayers {
  kind: "photo_layers";
  n: number;
  layers: readonly PhotoLayer[];
}

/** A step of the accentuated photo: a JPEG in the buffer of the part that the network sees. */
export interface PhotoStep {
  kind: "photo_step";
  n: number;
  run: number;
  layer: string;
  unit: number;
  less: boolean;
  strength: number;
  step: number;
  total: number;
  activation: number;
  mean: number;
  percentile: number;
  classes: readonly PhotoClass[];
  problem: string;
}

/** Progress of the sheet. */
export interface SheetInfo {
  kind: "sheet";
  sheet: number;
  n: number;
  layer: string;
  total: number;
  open: boolean;
  state: "waiting" | "running" | "stopped" | "done" | "error";
  text: string;
  problem: string;
}

/** Pictures of units, one JPEG for each row that has no problem. */
export interface SheetThumbs {
  kind: "thumbs";
  sheet: number;
  n: number;
  units: readonly (readonly [number, number | null, boolean, string])[];
}

/** Answers `SheetSimilarity`. */
export interface SheetOrder {
  kind: "similarity";
  sheet: number;
  n: number;
  units: readonly number[];
  problem: string;
}

/** Answers a ping. */
export interface Pong {
  kind: "pong";
}

/** The pictures of a comparison, as JPEGs in order; no buffers where only words have changed. */
export interface ComparisonSet {
  kind: "compare";
  n: number;
  state: "" | "starting" | "drawing" | "done" | "error";
  title: string;
  text: string;
  problem: string;
  items: readonly ComparedPicture[];
}

/** The pictures of all seeds that the run draws at once, as small JPEGs in order; none where it draws one. */
export interface SeedPictures {
  kind: "seeds";
  seeds: readonly number[];
}

/** Answers `Save`; the buffer is the file. */
export interface SavedFile {
  kind: "saved";
  what: "picture" | "figure" | "code";
  name: string;
  text: string;
  note: string;
  problem: string;
}

/** Answers `LoadModule`; the buffers are the script and the style sheet. */
export interface Module {
  kind: "module";
}

/** How many units of a layer have each tag. */
export interface TagCounts {
  kind: "counts";
  layer: string;
  rows: readonly (readonly [string, number, string])[];
  looked: number;
  total: number;
  undo: boolean;
  redo: boolean;
  problem: string;
}

/** Tags suggested for units of a layer. */
export interface TagSuggestions {
  kind: "suggestions";
  layer: string;
  rows: readonly (readonly [number, string, string])[];
  problem: string;
}

/** What the kernel and the page share. */
export interface Traits {
  layer: string;
  unit: number;
  recipe: string;
  blur: number | null;
  jitter: number | null;
  decay: number | null;
  total_variation: number | null;
  step_size: number | null;
  seed: number;
  size: number | readonly [number, number] | null;
  objective: ObjectiveKind;
  at: readonly [number, number] | null;
  negative: boolean;
  device: string;
  seeds_at_once: number | null;
  playing: boolean;
  redraw: boolean;
  _layer_list: readonly LayerInfo[];
  _recipe_list: readonly RecipeInfo[];
  _knobs: readonly KnobInfo[];
  class_names: readonly string[];
  _about: Partial<About>;
  frame: Binary;
  activation: number;
  step: number;
  _history: Binary;
  status: Partial<Status>;
  evidence_status: Partial<EvidenceStatus>;
  gauge: Partial<Gauge>;
  tags: Record<string, Record<string, readonly string[]>>;
  tag_keys: Record<string, string>;
}

export type TraitName = keyof Traits;
export type ControlValues = Partial<Pick<Traits, "layer" | "unit" | "recipe" | "blur" | "jitter" | "decay" | "total_variation" | "step_size" | "seed" | "size" | "objective" | "at" | "negative" | "device" | "seeds_at_once" | "playing" | "redraw">>;
export const CONTROL_DEFAULTS: Required<ControlValues> = {"layer": "", "unit": 0, "recipe": "peek", "blur": null, "jitter": null, "decay": null, "total_variation": null, "step_size": null, "seed": 0, "size": null, "objective": "neuron", "at": null, "negative": false, "device": "cpu", "seeds_at_once": null, "playing": true, "redraw": false};

export const CONTROL_LABELS = {"layer": "Layer", "unit": "Unit", "recipe": "Recipe", "seed": "Seed", "size": "Size", "objective": "Objective", "negative": "minimize", "seeds_at_once": "Seeds at once"} as const;

/** What the kernel sends. */
export type ToPage =
  | CircuitSeen
  | CircuitPicture
  | CircuitCrops
  | CircuitWithout
  | CropSet
  | LargeCrop
  | PhotoSeen
  | PhotoPicture
  | PhotoLayers
  | PhotoStep
  | SheetInfo
  | SheetThumbs
  | SheetOrder
  | Pong
  | ComparisonSet
  | SeedPictures
  | SavedFile
  | Module
  | TagCounts
  | TagSuggestions;

/** What the kernel takes. */
export type ToKernel =
  | { kind: "circuit_open"; on: boolean }
  | { kind: "circuit_get_crops"; layer: string; unit: number; find: boolean }
  | { kind: "circuit_set_without"; layer: string; unit: number; on: boolean }
  | { kind: "crop_view"; bottom: boolean; view: "whole" | "field" | "focus" }
  | { kind: "open_crop"; id: number }
  | { kind: "start_from_crop"; id: number }
  | { kind: "run_pass"; on: boolean }
  | { kind: "photo"; data: string }
  | { kind: "photo_edit"; how: "gray" | "grayscale" | "blur" | "shuffle"; whole: boolean; strokes: readonly number[] }
  | { kind: "photo_place"; y: number; x: number; on: boolean }
  | { kind: "photo_close" }
  | { kind: "photo_sample" }
  | { kind: "photo_overview"; on: boolean }
  | { kind: "photo_accentuate"; unit: number; less: boolean; strength: number; on: boolean }
  | { kind: "sheet"; on: boolean }
  | { kind: "draw"; on: boolean }
  | { kind: "view"; units: readonly number[] }
  | { kind: "sheetack"; n: number }
  | { kind: "similarity" }
  | { kind: "hello" }
  | { kind: "ack"; n: number; at: number }
  | { kind: "visible"; on: boolean }
  | { kind: "ping" }
  | { kind: "present" }
  | { kind: "play" }
  | { kind: "restart" }
  | { kind: "step" }
  | { kind: "seek"; step: number }
  | { kind: "resume"; step: number }
  | { kind: "compare"; what: "recipes" | "seeds" | "units"; values: readonly (string | number)[] }
  | { kind: "compare_ack"; n: number }
  | { kind: "save"; what: "picture" | "figure" | "code" }
  | { kind: "load_module" }
  | { kind: "tag"; layer: string; units: readonly number[]; words: readonly string[]; on: boolean }
  | { kind: "tag_reviewed"; layer: string; units: readonly number[]; on: boolean }
  | { kind: "undo"; again: boolean }
  | { kind: "key"; key: string; word: string };
