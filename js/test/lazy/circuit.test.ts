import { expect, test, vi } from "vitest";
import createWidget from "../../src/index";
import type { CircuitSeen } from "../../src/protocol.gen";
import { FakeModel, frame, openTab, settle, traits, usePage } from "../fakes";

type Widget = ReturnType<typeof createWidget>;

const page = usePage();

const row = (unit: number, effect: number | null, contribution = effect ?? 0.1) => ({
  layer: "conv1",
  unit,
  weight: 0.5,
  contribution,
  effect,
});

function seen(more: Partial<CircuitSeen> = {}): CircuitSeen {
  return {
    kind: "circuit",
    layer: "conv2",
    unit: 3,
    state: "measuring",
    problem: "",
    text: "On its 9 top crops.",
    remarks: [],
    inputs: [row(1, 2), row(2, -1)],
    outputs: [{ layer: "", unit: 7, name: "a <b>cat</b>", effect: 0.5, guess: null }],
    filter: false,
    ...more,
  };
}

async function open(): Promise<{ model: FakeModel; tab: HTMLElement; widget: Widget; end(): void }> {
  const model = new FakeModel(traits());
  const view = new AbortController();
  const widget = createWidget();
  widget.initialize({ model: model.asModel, signal: view.signal } as never);
  widget.render({ model: model.asModel, el: page.host, signal: view.signal } as never);
  page.screen.show(true);
  const tab = await openTab(page.host, "Circuit");
  await model.tell(seen(), [frame(), frame()]);
  return { model, tab, widget, end: () => view.abort() };
}

const tile = (name: string): HTMLElement => page.host.querySelector(`[data-unit="${name}"]`)!;
const without = (name: string): HTMLElement => page.host.querySelector(`[data-held="${name}"]`)!;
const here = (): HTMLElement => page.host.querySelector("[aria-current=location]")!;
const asked = (model: FakeModel): unknown[] => model.sent.filter((one) => one.kind.startsWith("circuit_"));
const listed = (name: string): string[] =>
  [...page.host.querySelectorAll<HTMLElement>(`ul[aria-label="${name}"] [data-unit]`)].map((one) => one.dataset.unit!);

test("what excites, what inhibits and what it feeds, by effect, or by contribution before it is measured", async () => {
  const { model, tab } = await open();
  expect(asked(model)).toEqual([{ kind: "circuit_open", on: true }]);
  expect([listed("Excited by"), listed("Inhibited by"), listed("Feeds")]).toEqual([
    ["conv1:1"],
    ["conv1:2"],
    ["output:7"],
  ]);
  expect(tab.textContent).toContain("a <b>cat</b>");
  expect(tab.querySelector("b b, .peek-circuit-name b")).toBeNull();
  expect(tile("conv1:1").getAttribute("aria-label")).toContain("effect 2");
  await model.tell(seen({ inputs: [row(1, null, -4)] }), [frame()]);
  expect(listed("Inhibited by")).toEqual(["conv1:1"]);
  expect(tile("conv1:1").getAttribute("aria-label")).toContain("not measured yet");
});

test("one walks down and back by keyboard, and arrives at the name of the unit", async () => {
  const { model } = await open();
  tile("conv1:1").focus();
  // a message in between leaves the focus
  await model.tell(seen({ text: "Effects measured: 4 of 24.", inputs: [row(1, 2.5), row(2, -1)] }), [frame(), frame()]);
  expect(document.activeElement).toBe(tile("conv1:1"));
  tile("conv1:1").click();
  await settle();
  expect([model.state.layer, model.state.unit]).toEqual(["conv1", 1]);
  await model.tell(seen({ layer: "conv1", unit: 1, inputs: [], outputs: [] }));
  expect([here().textContent, document.activeElement]).toEqual(["conv1:1", here()]);
  const [back] = page.host.querySelectorAll<HTMLButtonElement>(".peek-circuit-trail button");
  expect(back?.textContent).toBe("conv2:3");
  back?.focus();
  await model.tell(seen({ layer: "conv1", unit: 1, inputs: [], outputs: [], text: "more" }));
  expect(document.activeElement).toBe(back);
  back?.click();
  await model.tell(seen(), [frame(), frame()]);
  expect([here().textContent, document.activeElement]).toEqual(["conv2:3", here()]);
  expect(page.host.querySelectorAll(".peek-circuit-trail button")).toHaveLength(0);
});

test("a slow answer does not take the focus from where the user is by then", async () => {
  const { model } = await open();
  const cell = document.body.appendChild(document.createElement("textarea"));
  tile("conv1:1").focus();
  tile("conv1:1").click();
  cell.focus();
  await model.tell(seen({ layer: "conv1", unit: 1, inputs: [], outputs: [] }));
  expect(here().textContent).toBe("conv1:1");
  expect(document.activeElement).toBe(cell);
  cell.remove();
});

test("another view of the same explorer stays at the tab that its user has open", async () => {
  const { model, widget, end } = await open();
  const other = document.body.appendChild(document.createElement("div"));
  const view = new AbortController();
  widget.render({ model: model.asModel, el: other, signal: view.signal } as never);
  await settle();
  await model.tell(seen({ text: "Effects measured: 4 of 24." }), [frame(), frame()]);
  expect(other.querySelector(".peek-tab-circuit")?.hasAttribute("hidden")).toBe(true);
  expect(page.host.querySelector(".peek-tab-circuit")?.hasAttribute("hidden")).toBe(false);
  view.abort();
  end();
  other.remove();
});

test("crops come for what is pointed at or focused, and can be looked for where there are none", async () => {
  const { model } = await open();
  tile("conv1:1").dispatchEvent(new Event("pointermove"));
  vi.advanceTimersByTime(200);
  // on the way to the crops another one is only crossed
  tile("output:7").dispatchEvent(new Event("pointermove"));
  tile("output:7").dispatchEvent(new Event("pointerleave"));
  vi.advanceTimersByTime(200);
  tile("conv1:2").focus();
  vi.advanceTimersByTime(200);
  const get = { kind: "circuit_get_crops", layer: "conv1" };
  expect(asked(model).slice(1)).toEqual([
    { ...get, unit: 1, find: false },
    { ...get, unit: 2, find: false },
  ]);
  const none = { kind: "circuit_crops", layer: "conv1", unit: 2, crops: [], problem: "No crops yet.", can_find: true };
  await model.tell(none as never);
  const over = page.host.querySelector<HTMLElement>(".peek-circuit-over")!;
  const find = over.querySelector("button")!;
  expect([over.hidden, over.textContent]).toEqual([false, "No crops yet.Look for them"]);
  find.focus();
  find.click();
  expect(asked(model).at(-1)).toEqual({ ...get, unit: 2, find: true });
  const crops = [{ activation: 1.5, label: "cat" }];
  await model.tell({ ...none, crops, problem: "", can_find: false } as never, [frame()]);
  expect([
    over.querySelector("button:not([hidden])"),
    over.querySelector("canvas")?.getAttribute("aria-label"),
  ]).toEqual([null, "1.50 cat"]);
  expect(document.activeElement).toBe(tile("conv1:2"));
  // of another unit's circuit nothing is pointed at yet
  await model.tell(seen({ unit: 4 }), [frame(), frame()]);
  expect(over.hidden).toBe(true);
  tile("conv1:2").dispatchEvent(new Event("pointermove"));
  vi.advanceTimersByTime(200);
  expect(asked(model).at(-1)).toEqual({ ...get, unit: 2, find: false });
});

test("the unit without an input: two pictures, and the focus goes back where they were asked for", async () => {
  const { model } = await open();
  without("conv1:2").focus();
  without("conv1:2").click();
  const hold = { kind: "circuit_set_without", layer: "conv1", unit: 2, on: true };
  expect(asked(model).at(-1)).toEqual(hold);
  const held = { kind: "circuit_without", layer: "conv1", unit: 2, state: "drawing", text: "Step 3.", problem: "" };
  await model.tell(held as never, [frame(), frame()]);
  const section = page.host.querySelector<HTMLElement>(".peek-circuit-held")!;
  expect(section.querySelectorAll("figure:not([hidden])")).toHaveLength(2);
  const close = section.querySelector("button")!;
  close.focus();
  await model.tell({ ...held, text: "Step 6." } as never, [frame(), frame()]);
  expect(document.activeElement).toBe(close);
  close.click();
  expect(asked(model).at(-1)).toEqual({ ...hold, layer: "", unit: 0, on: false });
  expect(document.activeElement).toBe(without("conv1:2"));
  await model.tell({ ...held, layer: "", unit: 0, state: "", text: "" } as never);
  expect(section.parentElement?.hidden).toBe(true);
});

test("a problem is said, and closing the view closes every picture", async () => {
  const { model, tab, end } = await open();
  await model.tell({ kind: "circuit_picture", layer: "conv1", unit: 1, draft: true, problem: "" } as never, [frame()]);
  expect(tile("conv1:1").querySelector(".peek-circuit-draft")).not.toBeNull();
  await model.tell(seen({ state: "error", problem: "No <b>gradient</b>.", inputs: [], outputs: [] }));
  expect(tab.querySelector(".peek-error")?.textContent).toBe("No <b>gradient</b>.");
  vi.advanceTimersByTime(0);
  end();
  expect(page.screen.bitmapsOpen).toBe(0);
});
