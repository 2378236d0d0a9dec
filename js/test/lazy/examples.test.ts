import { expect, test } from "vitest";
import createWidget from "../../src/index";
import type { CropInfo, CropSet, Gauge, LargeCrop } from "../../src/protocol.gen";
import { bytes, FakeModel, frame, settle, status, traits, usePage } from "../fakes";

const page = usePage();

const EVIDENCE = {
  state: "running",
  text: "Scanning the dataset: 40 of 250 images.",
  problem: "",
  layer: "conv2",
  unit: 3,
  images: 40,
  total: 250,
} as const;

const GAUGE: Gauge = {
  layer: "conv2",
  unit: 3,
  images: 250,
  lowest: -1,
  median: 1,
  high: 3,
  best: 4,
  activation: 12.4,
  activation_ratio: 3.1,
  text: "3.1× the activation of the top real image (of 250).",
  score: null,
};

function crop(id: number, more: Partial<CropInfo> = {}): CropInfo {
  return {
    id,
    key: `${id}`,
    activation: 10 - id,
    name: `${id}.jpg`,
    label: `label ${id}`,
    clipped: false,
    box: [0.1, 0.2, 0.5, 0.6],
    size: [128, 96],
    image: id - 1,
    problem: "",
    ...more,
  };
}

function set(count: number, more: Partial<CropSet> = {}): CropSet {
  return {
    kind: "crops",
    layer: "conv2",
    unit: 3,
    bottom: false,
    view: "whole",
    crops: Array.from({ length: count }, (_, at) => crop(at + 1)),
    ...more,
  };
}

const pictures = (count: number): DataView[] => Array.from({ length: count }, (_, at) => frame(at));

function large(id: number, more: Partial<LargeCrop> = {}): LargeCrop {
  return {
    kind: "large",
    id,
    layer: "conv2",
    unit: 3,
    name: `${id}.jpg`,
    label: "flamingo",
    activation: 9.5,
    clipped: false,
    box: [0, 0, 0.5, 0.5],
    size: [400, 300],
    map: [2, 2],
    area: [0.1, 0, 0.9, 1],
    problem: "",
    ...more,
  };
}

async function open(model = new FakeModel(traits({ evidence_status: EVIDENCE }))) {
  const widget = createWidget();
  const end = widget.initialize({ model: model.asModel });
  const leave = widget.render({ model: model.asModel, el: page.host });
  page.screen.show(true);
  await settle();
  return { model, end, leave };
}

const find = <E extends Element = HTMLElement>(selector: string): E => {
  const found = page.host.querySelector<E>(selector);
  if (!found) throw new Error(`no ${selector}`);
  return found;
};
const tiles = (): HTMLButtonElement[] => [...page.host.querySelectorAll<HTMLButtonElement>(".peek-crop")];
const words = (label: string): HTMLButtonElement => {
  const found = [...page.host.querySelectorAll("button")].find((button) => button.textContent === label);
  if (!found) throw new Error(`no button ${label}`);
  return found;
};
const root = (): DOMStringMap => find(".peek-root").dataset;

test("without a dataset there is no panel and no gauge, but a hint how to add images", async () => {
  await open(new FakeModel());
  expect(page.host.querySelector(".peek-examples")).toBeNull();
  expect(find(".peek-gauge").hidden).toBe(true);
  expect(find(".peek-main").classList.contains("peek-with-images")).toBe(false);
  expect(find(".peek-hint").textContent).toContain("dataset=");
  expect(root().peekEvidence).toBe("none");
});

test("crops have pictures, activations, labels and outlines", async () => {
  const { model } = await open();
  await model.tell(set(9), pictures(9));
  expect(find(".peek-main").classList.contains("peek-with-images")).toBe(true);
  expect(root()).toMatchObject({ peekCrops: "9", peekThumbs: "9", peekCropsOf: "conv2/3" });
  expect(tiles()[1]?.textContent).toBe("8.00 label 2");
  expect(tiles()[0]?.getAttribute("aria-label")).toContain("9.00 label 1, activation of example 1");
  const box = tiles()[0]?.querySelector<HTMLElement>(".peek-shot-outline");
  expect([box?.hidden, box?.style.left, box?.style.width]).toEqual([false, "10%", "40%"]);
});

test("a picture already decoded is reused, one no longer shown is closed", async () => {
  const { model } = await open();
  await model.tell(set(3), pictures(3));
  expect(page.screen.bitmapsOpen).toBe(3);
  await model.tell(set(0, { crops: [crop(4, { image: 0 }), crop(2, { image: -1 })] }), pictures(1));
  expect([page.screen.decodes, page.screen.bitmapsOpen]).toEqual([4, 2]);
  expect(root().peekThumbs).toBe("2");
});

test("the crops of another unit are not shown under this one", async () => {
  const { model } = await open();
  await model.tell(set(9), pictures(9));
  await model.receive({ unit: 4 });
  expect(tiles().every((tile) => tile.disabled)).toBe(true);
  await model.tell(set(2, { unit: 4 }), pictures(2));
  expect(tiles().filter((tile) => !tile.disabled)).toHaveLength(2);
});

test("a click shows a crop large with its map; Escape closes it and restores the focus", async () => {
  const { model } = await open();
  await model.tell(set(9), pictures(9));
  tiles()[2]?.focus();
  tiles()[2]?.click();
  await settle();
  expect(model.sent.at(-1)).toEqual({ kind: "open_crop", id: 3 });
  expect([find(".peek-large").hidden, find(".peek-crops").hidden]).toEqual([false, true]);
  await model.tell(large(3), [frame(1), bytes(0, 80, 160, 255)]);
  expect(find(".peek-large-name").textContent).toBe("flamingo · 3.jpg");
  expect(find(".peek-large-activation").textContent).toBe("9.50");
  const mask = find<HTMLCanvasElement>(".peek-large .peek-shot-mask");
  expect([mask.hidden, mask.width, mask.height, mask.style.left]).toEqual([false, 2, 2, "10%"]);
  words("Activation map").click();
  expect(mask.hidden).toBe(true);
  expect(document.activeElement?.textContent).toBe("Back to all");
  find(".peek-large").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  await settle();
  expect(model.sent.at(-1)).toEqual({ kind: "open_crop", id: 0 });
  expect([find(".peek-large").hidden, find(".peek-crops").hidden]).toEqual([true, false]);
  expect(document.activeElement).toBe(tiles()[2]);
  expect(page.screen.bitmapsOpen).toBe(9);
});

test("a picture for a crop that is no longer open is closed", async () => {
  const { model } = await open();
  await model.tell(set(2), pictures(2));
  tiles()[0]?.click();
  tiles()[1]?.click();
  await model.tell(large(1), [frame(1), bytes(1, 2, 3, 4)]);
  expect(root().peekLarge).toBe("0");
  expect(page.screen.bitmapsOpen).toBe(2);
});

test("arrow keys go to the next crop and wrap around", async () => {
  const { model } = await open();
  await model.tell(set(2), pictures(2));
  tiles()[1]?.click();
  await settle();
  find(".peek-large").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  expect(model.sent.at(-1)).toEqual({ kind: "open_crop", id: 1 });
});

test("a layer without a map says so", async () => {
  const { model } = await open();
  await model.tell(set(1), pictures(1));
  tiles()[0]?.click();
  await model.tell(large(1, { map: [] }), [frame(1)]);
  expect(find(".peek-large .peek-help").textContent).toContain("not spatial");
  expect(words("Activation map").disabled).toBe(true);
});

test("a run starts from a crop, and from noise again", async () => {
  const { model } = await open();
  await model.tell(set(2), pictures(2));
  tiles()[0]?.click();
  await settle();
  words("Use as initial image").click();
  expect(model.sent.at(-1)).toEqual({ kind: "start_from_crop", id: 1 });
  expect(words("Start from noise again").hidden).toBe(true);
  await model.receive({ status: status({ start: "1.jpg" }) });
  words("Start from noise again").click();
  expect(model.sent.at(-1)).toEqual({ kind: "start_from_crop", id: 0 });
});

test("bottom and receptive field are requested, and shown as pressed once they arrive", async () => {
  const { model } = await open();
  await model.tell(set(2), pictures(2));
  words("Bottom").click();
  expect(model.sent.at(-1)).toEqual({ kind: "crop_view", bottom: true, view: "whole" });
  await model.tell(set(2, { bottom: true, view: "field" }), pictures(2));
  expect(
    ["Top", "Bottom", "Full image", "Receptive field", "Focus"].map((name) => words(name).getAttribute("aria-pressed")),
  ).toEqual(["false", "true", "false", "true", "false"]);
  expect(tiles()[0]?.querySelector<HTMLElement>(".peek-shot-outline")?.hidden).toBe(true);
  words("Focus").click();
  expect(model.sent.at(-1)).toEqual({ kind: "crop_view", bottom: true, view: "focus" });
  await model.tell(set(2, { bottom: true, view: "focus" }), pictures(2));
  expect(words("Focus").getAttribute("aria-pressed")).toBe("true");
  expect(tiles()[0]?.querySelector<HTMLElement>(".peek-shot-outline")?.hidden).toBe(true);
  words("Top").click();
  expect(model.sent.at(-1)).toEqual({ kind: "crop_view", bottom: false, view: "focus" });
});

test("the pass is stopped and resumed, and a problem with the dataset is shown", async () => {
  const { model } = await open();
  words("Stop").click();
  expect(model.sent.at(-1)).toEqual({ kind: "run_pass", on: false });
  await model.receive({ evidence_status: { ...EVIDENCE, state: "stopped", text: "Stopped after 40 of 250 images." } });
  words("Resume").click();
  expect(model.sent.at(-1)).toEqual({ kind: "run_pass", on: true });
  await model.receive({
    evidence_status: { ...EVIDENCE, state: "error", text: "", problem: "The folder is <b>empty</b>." },
  });
  expect(find(".peek-examples .peek-error").textContent).toBe("The folder is <b>empty</b>.");
  expect(page.host.querySelectorAll(".peek-examples b")).toHaveLength(0);
});

test("the gauge shows its sentence and its mark", async () => {
  const { model } = await open();
  await model.receive({ gauge: GAUGE });
  expect(find(".peek-gauge-text").textContent).toBe(GAUGE.text);
  expect(find(".peek-mark-best").style.left).toBe("50%");
  expect(Number.parseFloat(find(".peek-mark-optimized").style.left)).toBeGreaterThan(70);
  expect(find(".peek-legend").textContent).toContain("median 1.00");
  const score = { text: "Final check: fine.", rank: 1, units: 16, robustness: 0.8, activation_ratio: 3 };
  await model.receive({ gauge: { ...GAUGE, score } });
  expect(find(".peek-gauge .peek-help").textContent).toBe("Final check: fine.");
  await model.receive({ unit: 9 });
  expect(find(".peek-gauge-text").textContent).toBe("");
});

test("nothing is left after the widget is disposed", async () => {
  const { model, end, leave } = await open();
  await model.tell(set(3), pictures(3));
  tiles()[0]?.click();
  await model.tell(large(1), [frame(1), bytes(1, 2, 3, 4)]);
  leave();
  end();
  expect(page.screen.bitmapsOpen).toBe(0);
  expect(model.handlerCount).toBe(0);
  await model.tell(set(3), pictures(3));
  expect(page.screen.bitmapsOpen).toBe(0);
});
