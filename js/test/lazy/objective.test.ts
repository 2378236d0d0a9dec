import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WidgetClient } from "../../src/client";
import { centerOf } from "../../src/lazy/objective";
import { mountExplorer } from "../../src/panels/explorer";
import { checkpointToward } from "../../src/panels/transport";
import { FakeModel, installLazyModule, installScreen, LAYERS, settle, status, traits } from "../fakes";

let model: FakeModel;
let view: AbortController;
let host: HTMLElement;

beforeEach(async () => {
  installScreen();
  installLazyModule();
  host = document.body.appendChild(document.createElement("div"));
  const layers = LAYERS.map((each) => (each.name === "fc" ? { ...each, objectives: ["class" as const] } : each));
  model = new FakeModel(traits({ _layer_list: layers, status: status({ checkpoints: [1, 4, 7, 10, 12], step: 12 }) }));
  view = new AbortController();
  mountExplorer(new WidgetClient(model.asModel), host, view.signal);
  await settle();
});

afterEach(() => {
  view.abort();
  host.remove();
});

const named = <T extends Element = HTMLInputElement>(label: string): T =>
  host.querySelector<T>(`[aria-label^="${label}"]`)!;
const fire = (element: Element, type: string): void => void element.dispatchEvent(new Event(type, { bubbles: true }));
const slide = (to: number): void => {
  const scrubber = named("Step (drag");
  scrubber.value = String(to);
  fire(scrubber, "input");
};

test("the step slider goes to the next checkpoint in the direction of the drag", () => {
  const kept = [1, 4, 7, 10];
  expect(checkpointToward(kept, 4, 5)).toBe(7);
  expect(checkpointToward(kept, 7, 6)).toBe(4);
  expect(checkpointToward(kept, 4, 7)).toBe(7);
  expect(checkpointToward(kept, 4, 99)).toBe(10);
  expect(checkpointToward(kept, 4, 0)).toBe(1);
  expect(checkpointToward([], 4, 9)).toBe(9);
});

test("dragging back seeks that step, and the run can be resumed from it", async () => {
  const resume = [...host.querySelectorAll("button")].find((one) => one.textContent === "Resume from here")!;
  expect(resume.hidden).toBe(true);
  slide(11);
  expect(model.sent.at(-1)).toEqual({ kind: "seek", step: 10 });
  await model.receive({ status: status({ checkpoints: [1, 4, 7, 10, 12], step: 10, viewing: true, state: "paused" }) });
  await vi.waitFor(() => expect(resume.hidden).toBe(false));
  // shown a few times a second
  await vi.waitFor(() => expect(named("Step (drag").getAttribute("aria-valuetext")).toBe("step 10 of 150"));
  resume.click();
  expect(model.sent.at(-1)).toEqual({ kind: "resume", step: 10 });
});

test("a position is chosen on the map by key and by click, and reset to the center", async () => {
  expect(centerOf([14, 14])).toEqual([6, 6]);
  expect(centerOf([13, 13])).toEqual([6, 6]);
  const map = named<HTMLElement>("Position in");
  const press = (key: string): void => void map.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("ArrowLeft");
  await settle();
  expect(model.state.at).toEqual([6, 5]);
  expect(map.getAttribute("aria-valuetext")).toContain("row 6, column 5 (of 14\u00a0×\u00a014)");
  for (let i = 0; i < 9; i += 1) press("ArrowUp");
  await settle();
  expect(model.state.at).toEqual([0, 5]);
  vi.spyOn(map, "getBoundingClientRect").mockReturnValue({ left: 10, top: 20, width: 140, height: 140 } as DOMRect);
  map.dispatchEvent(new MouseEvent("click", { clientX: 10 + 139, clientY: 20 + 75 }));
  await settle();
  expect(model.state.at).toEqual([7, 13]);
  named("Reset to center").click();
  expect(model.state.at).toBeNull();
});

test("the objectives are those of the layer, and the map is shown for a neuron only", async () => {
  const kind = named<HTMLSelectElement>("Objective");
  expect([...kind.options].map((one) => one.value)).toEqual(["neuron", "channel"]);
  kind.value = "channel";
  fire(kind, "change");
  await settle();
  expect(model.state.objective).toBe("channel");
  expect(named<HTMLElement>("Position in").parentElement!.hidden).toBe(true);
  const negative = host.querySelector<HTMLInputElement>("input[type=checkbox]")!;
  negative.click();
  expect(model.state.negative).toBe(true);
});

test("a layer is found by part of its name, and resets objective and position", async () => {
  const search = named("Layer");
  const enter = (): boolean => search.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  const type = (into: HTMLInputElement, typed: string): void => {
    into.focus();
    into.value = typed;
    fire(into, "input");
  };
  type(search, "fd");
  enter();
  expect(model.state.layer).toBe("conv2");
  expect(search.getAttribute("aria-invalid")).toBe("true");
  expect(search.parentElement!.textContent).toBe("No layer is called “fd”. Did you mean fc?");
  search.blur();
  expect([search.value, search.getAttribute("aria-expanded")]).toEqual(["conv2", "false"]);
  model.state.at = [1, 1];
  type(search, "FC");
  enter();
  await settle();
  expect(model.state).toMatchObject({ layer: "fc", objective: "class", at: null });
  const classes = named("Class");
  type(classes, "ss 7");
  classes.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  expect(model.state.unit).toBe(7);
});

test("a size is typed, of a square or height and width, and an empty one resets it", async () => {
  const size = named("Image size in px");
  expect(size.placeholder).toBe("224");
  size.value = "96";
  fire(size, "change");
  expect(model.state.size).toEqual([96, 96]);
  for (const typed of ["256 x 128", "256×128", " 256, 128 "]) {
    size.value = typed;
    fire(size, "change");
    expect(model.state.size).toEqual([256, 128]);
    await settle();
    expect(size.value).toBe("256 × 128");
    size.value = "1 x 99999";
    fire(size, "change");
    expect(model.state.size).toEqual([8, 2048]);
  }
  for (const typed of ["wide", "3, 256, 128", "256 x"]) {
    size.value = typed;
    fire(size, "change");
    expect(model.state.size).toBeNull();
  }
  size.value = "";
  fire(size, "change");
  expect(model.state.size).toBeNull();
});

test("the device can be chosen where there is more than one", async () => {
  const device = named<HTMLSelectElement>("Device");
  expect(device.hidden).toBe(true);
  await model.receive({ _about: { device: "cpu", devices: ["cpu", "cuda:0"] } });
  expect(device.hidden).toBe(false);
  device.value = "cuda:0";
  fire(device, "change");
  expect(model.state.device).toBe("cuda:0");
});
