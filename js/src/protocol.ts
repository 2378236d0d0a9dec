// The messages between the front end and the kernel, in one place. `peek_widget/live/protocol.py` holds
// the same names; tests/test_package.py reads both files and compares them, so WIRE stays plain JSON.

// biome-ignore format: plain JSON, for the test that reads it
export const WIRE = {
  "control": [
    "layer", "unit", "recipe",
    "blur", "jitter", "decay", "total_variation", "step_size",
    "seed", "size", "objective", "at", "negative", "device", "playing"
  ],
  "description": ["_layer_list", "_recipe_list", "_knobs", "class_names", "_about"],
  "live": ["frame", "activation", "step", "_history", "status"],
  "evidence": ["evidence_status", "gauge"],
  "tags": ["tags", "tag_keys"]
} as const;

// For the types alone, and for that test: nothing of it is in the bundle.
// biome-ignore format: plain JSON, as above
export const WORDS = {
  "states": ["starting", "running", "paused", "done", "error", "idle", "closed"],
  "sheet_states": ["waiting", "running", "stopped", "done", "error"],
  "inbound": [
    "hello", "ack", "visible", "ping", "play", "restart", "step", "crop_view", "open_crop", "start_from_crop",
    "run_pass", "compare", "compare_ack", "save", "seek", "resume",
    "load_module", "sheet", "draw", "view", "sheetack", "similarity", "tag", "tag_reviewed", "undo", "key"
  ],
  "outbound": [
    "crops", "large", "compare", "saved", "module", "sheet", "thumbs", "similarity", "counts", "suggestions", "pong"
  ]
} as const;

export type KnobName = "blur" | "jitter" | "decay" | "total_variation" | "step_size";

/** Names of units, knobs and layers come from somebody's model: text to show, never markup. */
export interface LayerInfo {
  name: string;
  kind: string;
  channels: number;
  size: readonly number[];
  receptive_field: readonly number[] | null;
  stride: readonly number[] | null;
  rectified: boolean;
  /** What its units can be drawn for, the usual one first. */
  objectives: readonly ObjectiveKind[];
}

export type ObjectiveKind = "neuron" | "channel" | "class";

export interface RecipeInfo {
  name: string;
  summary: string;
  source: string;
}

export interface KnobInfo {
  name: KnobName;
  label: string;
  minimum: number;
  maximum: number;
  scale: "linear" | "log";
  unit: string;
  help: string;
}

export interface About {
  model?: string;
  preprocess?: string;
  device?: string;
  /** All that this machine has. */
  devices?: readonly string[];
  version?: string;
  /** What a control is and what it does to the picture, by a short name of the control. */
  help?: Record<string, string>;
}

export type RunState = (typeof WORDS.states)[number];

export interface Status {
  /** Frame number; grows for as long as the kernel lives. */
  n: number;
  /** Counts restarts. */
  run: number;
  state: RunState;
  text: string;
  error: string | null;
  /** Steps a second. */
  rate: number;
  /** Of the picture shown. */
  step: number;
  total: number;
  /** The steps that can be viewed and resumed; the last is where the run is. */
  checkpoints: readonly number[];
  /** Whether the picture shown is one of an earlier step, and not the run's newest. */
  viewing: boolean;
  unit: number;
  layer: string;
  /** Side of the picture in pixels. */
  size: number;
  /** What the run began from, where it was a picture; "" for the recipe's own start. */
  start: string;
  /** The knobs as they stand now, recipe and overrides taken together. */
  values: Partial<Record<KnobName, number>>;
  /** What the recipe alone would have now; a knob that cannot act in it is not among them. */
  recipe_values: Partial<Record<KnobName, number>>;
}

/** How far the look through the real images is; without a dataset an empty object. */
export interface EvidenceStatus {
  state: "waiting" | "running" | "stopped" | "done" | "given" | "error";
  text: string;
  problem: string;
  layer: string;
  unit: number;
  images: number;
  total: number;
}

/** Activations before any ReLU: of each real image its best place, of the drawn picture too. */
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
  score: { text: string } | null;
}

/** left, top, right, bottom, as shares of the image. */
export type Box = readonly [number, number, number, number];

export interface CropInfo {
  id: number;
  key: string;
  activation: number;
  name: string;
  label: string;
  clipped: boolean;
  box: Box;
  size: readonly [number, number];
  /** Which of the message's buffers is its picture; -1: the one already here. */
  image: number;
  problem: string;
}

export interface CropSet {
  kind: "crops";
  layer: string;
  unit: number;
  bottom: boolean;
  cut: boolean;
  crops: CropInfo[];
}

export interface LargeCrop extends Omit<CropInfo, "key" | "image"> {
  kind: "large";
  layer: string;
  unit: number;
  /** Rows and columns of the activation map; empty where there is none. */
  map: readonly number[];
  area: Box;
}

/** One picture of a comparison; the message's buffer of the same number is its JPEG. */
export interface ComparedPicture {
  caption: string;
  note: string;
  activation: number | null;
  /** Ends of its bar, in percent of a scale that all of them have. */
  bar: readonly [number, number];
  /** What to set to have this picture on the bench; empty where the page can't. */
  controls: ControlValues;
}

export interface ComparisonSet {
  kind: "compare";
  n: number;
  state: "" | "starting" | "drawing" | "done" | "error";
  title: string;
  text: string;
  problem: string;
  items: ComparedPicture[];
}

export type KeptKind = "picture" | "figure" | "code";

/** The answer to `save`; the buffer is the file. */
export interface KeptFile {
  kind: "saved";
  what: KeptKind;
  name: string;
  text: string;
  note: string;
  problem: string;
}

/** Answers a ping; sent before the kernel reports the ping as handled. */
export interface Pong {
  kind: "pong";
}

export type Inbound = CropSet | LargeCrop | ComparisonSet | KeptFile | Pong;

/** How far the contact sheet is. `sheet`: its number; another layer, recipe, seed or size has another. */
export interface SheetInfo {
  kind: "sheet";
  sheet: number;
  n: number;
  layer: string;
  total: number;
  open: boolean;
  state: (typeof WORDS.sheet_states)[number];
  text: string;
  problem: string;
}

/** Rows of unit, activation, whether it is a quick first version, and why there is no picture. */
export interface SheetThumbs {
  kind: "thumbs";
  sheet: number;
  n: number;
  units: [number, number | null, boolean, string][];
}

export interface SheetOrder {
  kind: "similarity";
  sheet: number;
  n: number;
  units: number[];
  problem: string;
}

export interface TagCounts {
  kind: "counts";
  layer: string;
  /** Word, units, and both in words, with an interval where only some units were looked at. */
  rows: [string, number, string][];
  looked: number;
  total: number;
  undo: boolean;
  redo: boolean;
  problem: string;
}

export interface TagSuggestions {
  kind: "suggestions";
  layer: string;
  /** Unit, word, why; the surest first. */
  rows: [number, string, string][];
  problem: string;
}

export type SheetInbound = { kind: "module" } | SheetInfo | SheetThumbs | SheetOrder | TagCounts | TagSuggestions;

/** Words on units: layer, unit as text, words. An empty list is a unit looked at with nothing found. */
export type TagTrait = Record<string, Record<string, string[]>>;

export type Binary = DataView | ArrayBuffer | Uint8Array;

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
  size: number | null;
  objective: ObjectiveKind;
  /** Row and column on the layer's map; null is the middle. */
  at: readonly [number, number] | null;
  negative: boolean;
  device: string;
  playing: boolean;
  _layer_list: LayerInfo[];
  _recipe_list: RecipeInfo[];
  _knobs: KnobInfo[];
  class_names: string[];
  _about: About;
  frame: Binary;
  activation: number;
  step: number;
  _history: Binary;
  status: Partial<Status>;
  evidence_status: Partial<EvidenceStatus>;
  gauge: Partial<Gauge>;
  tags: TagTrait;
  tag_keys: Record<string, string>;
}

export type TraitName = keyof Traits;
export type ControlValues = Partial<Pick<Traits, (typeof WIRE.control)[number]>>;

export type Outbound =
  | { kind: "hello" }
  | { kind: "ack"; n: number; at: number }
  | { kind: "visible"; on: boolean }
  | { kind: "ping" }
  | { kind: "play" }
  | { kind: "restart" }
  | { kind: "step" }
  | { kind: "crop_view"; bottom: boolean; cut: boolean }
  | { kind: "open_crop"; id: number }
  | { kind: "start_from_crop"; id: number }
  | { kind: "run_pass"; on: boolean }
  | { kind: "compare"; what: "recipes" | "seeds" | "units"; values: readonly (string | number)[] }
  | { kind: "compare_ack"; n: number }
  | { kind: "save"; what: KeptKind }
  | { kind: "seek"; step: number }
  | { kind: "resume"; step: number }
  | { kind: "load_module" }
  | { kind: "sheet"; on: boolean }
  | { kind: "draw"; on: boolean }
  | { kind: "view"; units: number[] }
  | { kind: "sheetack"; n: number }
  | { kind: "similarity" }
  | { kind: "tag"; layer: string; units: number[]; words: string[]; on: boolean }
  | { kind: "tag_reviewed"; layer: string; units: number[]; on: boolean }
  | { kind: "undo"; again: boolean }
  | { kind: "key"; key: string; word: string };

export const LARGEST_SEED = 2 ** 31 - 1;
/** Pixels of a side, as recipes have it. */
export const [SMALLEST_SIZE, LARGEST_SIZE] = [8, 2048] as const;

export const TRAIT_NAMES: readonly TraitName[] = [
  ...WIRE.control,
  ...WIRE.description,
  ...WIRE.live,
  ...WIRE.evidence,
  ...WIRE.tags,
];

/** Before the first message `status` is an empty object: read it as a run that has yet to start. */
export function readStatus(raw: Partial<Status> | null | undefined): Status {
  return {
    n: 0,
    run: 0,
    state: "starting",
    text: "",
    error: null,
    rate: 0,
    step: 0,
    total: 0,
    viewing: false,
    unit: 0,
    layer: "",
    size: 0,
    start: "",
    ...raw,
    checkpoints: raw?.checkpoints ?? [],
    values: raw?.values ?? {},
    recipe_values: raw?.recipe_values ?? {},
  };
}

/** Hosts hand binary traits over as a DataView or as a buffer. Returns null for an empty one. */
export function bytesOf(value: Binary | null | undefined): Uint8Array<ArrayBuffer> | null {
  if (!value || value.byteLength === 0) return null;
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
  }
  return new Uint8Array(value);
}

export interface HistoryPoint {
  step: number;
  activation: number;
}

/** `history` is little-endian float32 pairs; the view may start at any byte, which rules Float32Array out. */
export function readHistory(value: Binary | null | undefined): HistoryPoint[] {
  const bytes = bytesOf(value);
  if (!bytes) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const points: HistoryPoint[] = [];
  for (let at = 0; at + 8 <= view.byteLength; at += 8) {
    points.push({ step: view.getFloat32(at, true), activation: view.getFloat32(at + 4, true) });
  }
  return points;
}
