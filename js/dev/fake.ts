// A model driven by JavaScript, to work on the look without a kernel: npm run watch, then serve js/dev.
// Nothing of this is shipped.
import createWidget from "../src/index";
import type { KnobInfo, KnobName, LayerInfo, Traits } from "../src/protocol.gen";

type Handler = (...args: unknown[]) => void;

const layers: LayerInfo[] = [
  ["features.0", "Conv2d", 96, 109, 7, 2],
  ["features.3", "Fire", 128, 54, 15, 4],
  ["features.4", "Fire", 128, 54, 23, 4],
  ["features.7", "Fire", 256, 27, 63, 8],
  ["features.9", "Fire", 384, 27, 95, 8],
  ["features.12", "Fire", 512, 13, 191, 16],
  ["classifier.1", "Conv2d", 1000, 13, 191, 16],
].map(([name, kind, channels, size, field, stride]) => ({
  name: name as string,
  kind: kind as string,
  channels: channels as number,
  size: [size as number, size as number],
  receptive_field: [field as number, field as number],
  stride: [stride as number, stride as number],
  rectified: kind === "Fire",
  objectives: ["neuron", "channel"],
  named: name === "classifier.1",
}));

const knob = (
  name: KnobName,
  label: string,
  minimum: number,
  maximum: number,
  scale: "linear" | "log",
  unit: string,
  help: string,
): KnobInfo => ({ name, label, minimum, maximum, scale, unit, help });

const knobs = [
  knob("blur", "blur", 0, 5, "linear", "px", "Smooths the picture after each step: fewer fine dots, softer edges."),
  knob(
    "jitter",
    "Jitter",
    0,
    0.5,
    "linear",
    "of side",
    "Shifts the picture by chance: what stays must be seen anywhere.",
  ),
  knob(
    "decay",
    "Decay",
    0,
    0.5,
    "linear",
    "per step",
    "Pulls every pixel back to gray: only what is needed keeps its color.",
  ),
  knob(
    "total_variation",
    "Total variation",
    0,
    1,
    "log",
    "",
    "Charges for differences between neighbors: flat areas, clean borders.",
  ),
  knob("step_size", "Step size", 0.001, 10, "log", "", "How far each step goes: larger is faster and rougher."),
];

const state: Record<string, unknown> = {
  layer: "features.12",
  unit: 17,
  recipe: "peek",
  blur: null,
  jitter: null,
  decay: null,
  total_variation: null,
  step_size: null,
  seed: 0,
  size: null,
  objective: "neuron",
  at: null,
  negative: false,
  device: "cpu",
  playing: true,
  _layer_list: layers,
  _recipe_list: [
    { name: "peek", summary: "Our own default: a picture one can name in a few seconds.", source: "this project" },
    { name: "oygard-2016", summary: "Gaussian blur each step, five octaves growing in size.", source: "Øygard 2016" },
  ],
  _knobs: knobs,
  class_names: Array.from({ length: 1000 }, (_, i) => (i === 17 ? "jay <b>not bold</b>" : `class ${i}`)),
  _about: {
    model: "SqueezeNet",
    preprocess: "ImageNet mean and std (3 channels)",
    device: "cpu",
    version: "0.1.0",
    help: {
      layer: "A layer is one stage of the network.",
      unit: "A unit is one of a layer's channels.",
      recipe: "How the picture is drawn.",
      activation: "How strongly the picture excites the unit.",
    },
  },
  frame: new DataView(new ArrayBuffer(0)),
  _history: new DataView(new ArrayBuffer(0)),
  activation: 0,
  step: 0,
  status: {},
  evidence_status: {},
  gauge: {},
  tags: {},
  tag_keys: { d: "dog" },
};

const handlers = new Map<string, Set<Handler>>();
const emit = (event: string, ...args: unknown[]): void => handlers.get(event)?.forEach((handler) => handler(...args));
const query = new URLSearchParams(location.search);
if (query.has("overridden")) Object.assign(state, { blur: 1.4, step_size: 0.9 });
if (query.has("logits")) state.layer = "classifier.1";

let run = 1;
let step = 0;
let n = 0;
const points: number[] = [];

const model = {
  get: (name: string) => state[name],
  set(name: string, value: unknown) {
    if (state[name] === value) return;
    state[name] = value;
    emit(`change:${name}`);
    if (["layer", "unit", "seed", "recipe"].includes(name)) restart();
  },
  on: (event: string, handler: Handler) => {
    if (!handlers.has(event)) handlers.set(event, new Set());
    handlers.get(event)?.add(handler);
  },
  off: (event: string, handler: Handler) => void handlers.get(event)?.delete(handler),
  save_changes: () => undefined,
  send(message: { kind: string }) {
    if (query.has("gone") && n > 20) throw new Error("Cannot send");
    if (message.kind === "restart") restart();
    if (message.kind === "load_module") void sendModule();
    if (query.has("images") && message.kind === "hello") void sendExamples();
  },
};

function restart(): void {
  run += 1;
  step = 0;
  points.length = 0;
}

const canvas = document.createElement("canvas");
canvas.width = canvas.height = 224;
const pen = canvas.getContext("2d")!;

/** The lazily loaded script and style sheet, as the kernel sends them. */
async function sendModule(): Promise<void> {
  const files = await Promise.all(
    ["lazy.js", "lazy.css"].map(async (name) => (await fetch(`build/${name}`)).arrayBuffer()),
  );
  emit(
    "msg:custom",
    { kind: "module" },
    files.map((file) => new DataView(file)),
  );
}

/** Nine dataset examples: patches of color, each with an outline where the unit looks. */
async function sendExamples(): Promise<void> {
  state.evidence_status = {
    state: "running",
    text: "120 of 250 images, 14 s left.",
    problem: "",
    layer: state.layer,
    unit: state.unit,
    images: 120,
    total: 250,
  };
  emit("change:evidence_status");
  state.gauge = {
    layer: state.layer,
    unit: state.unit,
    images: 250,
    lowest: -4,
    median: 1.2,
    high: 14,
    best: 24,
    activation: 36,
    activation_ratio: 1.5,
    text: "1.50 times the activation of the top real image (of 250).",
    score: null,
  };
  emit("change:gauge");
  const patch = document.createElement("canvas");
  patch.width = patch.height = 96;
  const context = patch.getContext("2d")!;
  const images: DataView[] = [];
  for (let at = 0; at < 9; at += 1) {
    context.fillStyle = `hsl(${at * 40} 40% 55%)`;
    context.fillRect(0, 0, 96, 96);
    const blob = await new Promise<Blob>((done) => patch.toBlob((made) => done(made!), "image/jpeg", 0.9));
    images.push(new DataView(await blob.arrayBuffer()));
  }
  const crops = images.map((_, at) => ({
    id: at + 1,
    key: `example ${at}`,
    activation: 24 - at * 1.3,
    name: `photo-${at}.jpg`,
    label: at % 2 ? "jay" : "magpie",
    clipped: false,
    box: [0.2, 0.1, 0.8, 0.7],
    size: [96, 96],
    image: at,
    problem: "",
  }));
  const set = { kind: "crops", layer: state.layer, unit: state.unit, bottom: false, view: "whole", crops };
  emit("msg:custom", set, images);
}

async function tick(): Promise<void> {
  const failing = query.has("error") && n > 20;
  if (state.playing && step < 150 && !failing && !(query.has("gone") && n > 20)) {
    step += 1;
    n += 1;
    const activation = -3 + 40 * (1 - Math.exp(-step / 40)) + Math.sin(step / 3) * 1.5;
    const view = activation + 12 * (Math.random() - 0.7);
    points.push(step, step % 6 === 1 ? activation : Number.NaN, view, view);
    const unit = state.unit as number;
    const image = pen.createImageData(224, 224);
    const sharp = 4 + step / 12;
    for (let y = 0; y < 224; y += 1) {
      for (let x = 0; x < 224; x += 1) {
        const angle = Math.atan2(y - 112, x - 112) * (3 + (unit % 5));
        const radius = Math.hypot(x - 112, y - 112);
        const wave = Math.sin(radius / (6 + (unit % 7)) + angle) * Math.exp(-radius / 130);
        const at = (y * 224 + x) * 4;
        const noise = (Math.random() - 0.5) * 40 * Math.exp(-step / 40);
        image.data[at] = 128 + wave * sharp * 7 + noise;
        image.data[at + 1] = 126 + Math.sin(angle / 2) * wave * sharp * 6 + noise;
        image.data[at + 2] = 122 - wave * sharp * 5 + noise;
        image.data[at + 3] = 255;
      }
    }
    pen.putImageData(image, 0, 0);
    const blob = await new Promise<Blob>((done) => canvas.toBlob((made) => done(made!), "image/jpeg", 0.9));
    state.frame = new DataView(await blob.arrayBuffer());
    state.activation = activation;
    state.step = step;
    state._history = new DataView(new Float32Array(points).buffer);
    emit("change:frame");
  }
  const values = {
    blur: 2.5 - step / 100,
    jitter: 0.06,
    decay: 0.002,
    total_variation: step / 800,
    step_size: 0.05,
  };
  const own = Object.fromEntries(
    knobs.filter(({ name }) => state[name] !== null).map(({ name }) => [name, state[name]]),
  );
  const current = failing ? "error" : step >= 150 ? "done" : state.playing ? "running" : "paused";
  state.status = {
    n,
    run,
    step,
    total: 150,
    unit: state.unit,
    layer: state.layer,
    size: 224,
    rate: 21.37,
    state: current,
    text: failing
      ? "The model raised an error at step 21; change a setting or press restart."
      : current === "done"
        ? "Done after 150 steps."
        : current === "paused"
          ? "Paused."
          : "Drawing: the picture sharpens.",
    error: failing
      ? "RuntimeError: Given groups=1, weight of size [64, 3, 3, 3], expected input[1, 1, 64, 64] to have 3 channels"
      : null,
    values: { ...values, ...own },
    recipe_values: values,
  } as unknown;
  if (!(query.has("gone") && n > 20)) emit("change:status");
}

const widget = createWidget();
const host = document.getElementById("host")!;
host.style.width = `${query.get("width") ?? 1400}px`;
if (query.get("theme") === "dark") {
  document.body.dataset.jpThemeLight = "false";
  document.body.style.background = "#111";
}
const fake = model as never as import("@anywidget/types").AnyModel<Traits>;
widget.initialize({ model: fake });
widget.render({ model: fake, el: host });
setInterval(() => void tick(), 40);
