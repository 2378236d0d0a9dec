import { expect, test, vi } from "vitest";
import createWidget from "../../src/index";
import { LazyModule } from "../../src/stores/lazy";
import { bytes, FakeModel, frame, installScreen, settle, status, traits, usePage } from "../fakes";

const page = usePage();

/** One widget with one view that can be seen. */
async function open(model = new FakeModel()) {
  const widget = createWidget();
  const end = widget.initialize({ model: model.asModel });
  const leave = widget.render({ model: model.asModel, el: page.host });
  page.screen.show(true);
  await settle();
  return { model, widget, end, leave };
}

const find = <E extends Element = HTMLElement>(selector: string): E => {
  const found = page.host.querySelector<E>(selector);
  if (!found) throw new Error(`no ${selector}`);
  return found;
};
const range = (label: string): HTMLInputElement => find(`input[type=range][aria-label="${label}"]`);
const button = (label: string): HTMLButtonElement => find(`button[aria-label="${label}"]`);
const drag = (input: HTMLInputElement, value: number): void => {
  input.value = String(value);
  input.dispatchEvent(new Event("input"));
};
const root = (): DOMStringMap => find(".peek-root").dataset;

test("panels that are loaded are there at once when the kernel has sent them by itself", async () => {
  vi.restoreAllMocks();
  const model = new FakeModel();
  const imported: string[] = [];
  vi.stubGlobal("URL", {
    createObjectURL: () => "data:text/javascript,",
    revokeObjectURL: (url: string) => imported.push(url),
  });
  const widget = createWidget();
  widget.initialize({ model: model.asModel });
  await model.tell({ kind: "module" }, [bytes(1), bytes(2)]);
  widget.render({ model: model.asModel, el: page.host });
  await vi.waitUntil(() => imported.length > 0);
  expect(model.kinds()).not.toContain("load_module");
  vi.unstubAllGlobals();
});

test("a panel that can't be loaded says so, one of a kernel that is gone what to do, and else nothing flashes", async () => {
  vi.restoreAllMocks();
  installScreen();
  const { model } = await open();
  expect(model.kinds()).toContain("load_module");
  expect(find(".peek-tabpanel:not([hidden]) .peek-loading").textContent).toBe("Loading…");
  model.dead = true;
  button("Next unit").click();
  await settle();
  expect(find(".peek-tabpanel:not([hidden]) .peek-loading").textContent).toContain("Run the cell again");
});

test("the lists of names are loaded again when a box gets the focus, where that failed before", async () => {
  const fetch = vi.mocked(LazyModule.prototype.fetch);
  const works = fetch.getMockImplementation()!;
  fetch.mockRejectedValue(new Error("refused"));
  await open();
  const box = find<HTMLInputElement>("input[role=combobox]");
  expect(box.hasAttribute("aria-controls")).toBe(false);
  fetch.mockImplementation(works);
  box.focus();
  await settle();
  expect(page.host.querySelector(`[id="${box.getAttribute("aria-controls")}"]`)?.role).toBe("tree");
});

test("initialize sends hello and does not wait", () => {
  const model = new FakeModel();
  expect(createWidget().initialize({ model: model.asModel })).toBeTypeOf("function");
  expect(model.sent).toEqual([{ kind: "hello" }]);
});

const repainted = (): Promise<unknown> => vi.advanceTimersByTimeAsync(20);

test("a frame is drawn, acknowledged and counted on the root element", async () => {
  const { model } = await open();
  await model.receive({ frame: frame(1), status: status({ n: 8, run: 2, step: 5 }), step: 5 });
  await repainted();
  expect(root()).toMatchObject({
    peekReceived: "1",
    peekDrawn: "1",
    peekN: "8",
    peekState: "running",
    peekRun: "2",
    peekStep: "5",
  });
  await vi.advanceTimersByTimeAsync(300);
  expect(model.sent).toContainEqual({ kind: "ack", n: 8, at: expect.any(Number) });
});

test("a change of the status alone draws no frame", async () => {
  const { model } = await open();
  await model.receive({ frame: frame(1), status: status() });
  await model.receive({ status: status({ state: "paused", text: "Paused." }) });
  expect(root()).toMatchObject({ peekReceived: "1", peekState: "paused" });
  await vi.advanceTimersByTimeAsync(200);
  expect(find(".peek-status").textContent).toBe("Paused.");
});

test("a page that is loaded again shows the picture that the model still has", async () => {
  await open(new FakeModel(traits({ frame: frame(1), status: status({ n: 40 }) })));
  await repainted();
  expect(root()).toMatchObject({ peekDrawn: "1", peekN: "40" });
});

test("two views of one model share one decode and one hello, and both draw", async () => {
  const { model, widget } = await open();
  const second = document.body.appendChild(document.createElement("div"));
  const leave = widget.render({ model: model.asModel, el: second });
  await model.receive({ frame: frame(1), status: status() });
  await repainted();
  expect(page.screen.decodes).toBe(1);
  expect(model.kinds().filter((kind) => kind === "hello")).toHaveLength(1);
  for (const place of [page.host, second]) expect(place.querySelector("canvas")?.width).toBe(8);
  leave();
  second.remove();
});

test("the unit slider sets the unit and speaks its position", async () => {
  const { model } = await open();
  drag(range("Unit"), 17);
  await settle();
  expect(model.saved).toEqual([{ unit: 17 }]);
  expect(range("Unit").getAttribute("aria-valuetext")).toBe("unit 17 of 512, conv2");
  expect(find(".peek-heading-unit").textContent).toBe("unit 17");
});

test("Python moves the slider", async () => {
  const { model } = await open();
  await model.receive({ unit: 300 });
  expect(range("Unit").value).toBe("300");
  expect(find<HTMLInputElement>("input[aria-label='Unit number']").value).toBe("300");
});

test("a new layer and a unit inside it are sent in one save", async () => {
  const { model } = await open(new FakeModel(traits({ unit: 400 })));
  drag(range("Layer depth"), 2);
  await settle();
  expect(model.saved).toEqual([{ layer: "fc", unit: 9 }]);
  expect(find(".peek-heading-class").textContent).toBe("class 9");
  expect(range("Unit").max).toBe("9");
});

test("previous, next and random unit stay inside the layer", async () => {
  const { model } = await open(new FakeModel(traits({ layer: "fc", unit: 9 })));
  expect(button("Next unit").disabled).toBe(true);
  button("Previous unit").click();
  expect(model.state.unit).toBe(8);
  for (let i = 0; i < 50; i += 1) {
    const before = model.state.unit;
    button("Random unit").click();
    expect(model.state.unit).not.toBe(before);
    expect(model.state.unit).toBeGreaterThanOrEqual(0);
    expect(model.state.unit).toBeLessThan(10);
  }
});

test("a knob follows the recipe, is overridden and reset", async () => {
  const { model } = await open();
  const row = range("blur").closest(".peek-knob")!;
  const badge = row.querySelector(".peek-badge")!;
  const says = () => range("blur").getAttribute("aria-valuetext");
  await model.receive({ status: status({ values: { blur: 2.5 }, recipe_values: { blur: 2.5 } }) });
  await vi.advanceTimersByTimeAsync(200);
  expect([range("blur").value, badge.textContent]).toEqual(["100", ""]);
  expect(says()).toBe("2.50 px, recipe default");

  drag(range("blur"), 40);
  await settle();
  expect(model.state.blur).toBe(1);
  expect(badge.textContent).toBe("overridden");
  await model.receive({ status: status({ values: { blur: 2.4 }, recipe_values: { blur: 2.4 } }) });
  await vi.advanceTimersByTimeAsync(200);
  expect(range("blur").value).toBe("40");
  expect(range("blur").style.getPropertyValue("--mark")).toBe("0.48");
  expect(says()).toBe("1.00 px, overridden, recipe value 2.40");

  button("Reset blur to the recipe's value").click();
  await vi.advanceTimersByTimeAsync(200);
  expect(model.state.blur).toBeNull();
  expect(model.saved[model.saved.length - 1]).toEqual({ blur: null });
  expect([range("blur").value, badge.textContent]).toEqual(["96", ""]);
  expect(button("Reset blur to the recipe's value").disabled).toBe(true);
  expect(document.activeElement).toBe(range("blur"));
});

test("a knob unused by the recipe is disabled and says so", async () => {
  const { model } = await open();
  await model.receive({ status: status({ values: { blur: 0, step_size: 1 }, recipe_values: { step_size: 1 } }) });
  await vi.advanceTimersByTimeAsync(200);
  expect(range("blur").disabled).toBe(true);
  expect(range("blur").closest(".peek-knob")!.textContent).toContain("unused by this recipe");
  expect(range("step size").disabled).toBe(false);
});

test("a question mark opens and closes the help on its control", async () => {
  await open();
  const ask = button("Help: blur");
  const note = range("blur").closest(".peek-knob")!.querySelector<HTMLElement>(".peek-help")!;
  expect([note.hidden, ask.getAttribute("aria-expanded")]).toEqual([true, "false"]);
  ask.click();
  expect([note.hidden, note.textContent, ask.getAttribute("aria-expanded")]).toEqual([false, "Smooths.", "true"]);
  ask.click();
  expect(note.hidden).toBe(true);
});

test("the recipes are described before one is chosen", async () => {
  const recipes = [
    { name: "peek", summary: "Ours.", source: "here" },
    { name: "old", summary: "Theirs.", source: "there" },
  ];
  const { model } = await open(new FakeModel(traits({ _recipe_list: recipes })));
  const choose = find<HTMLButtonElement>(".peek-recipe-button");
  const list = find(".peek-recipe-list");
  expect([list.hidden, choose.textContent, find(".peek-recipe-summary").textContent]).toEqual([
    true,
    "Recipe: peek",
    "Ours.",
  ]);
  choose.click();
  expect(list.textContent).toContain("Theirs.");
  const radios = [...list.querySelectorAll("input")];
  expect(document.activeElement).toBe(radios[0]);
  radios[1]!.checked = true;
  radios[1]!.dispatchEvent(new Event("change", { bubbles: true }));
  await settle();
  expect(model.saved).toEqual([{ recipe: "old" }]);
  expect(find(".peek-recipe-summary").textContent).toBe("Theirs.");
  // by arrow key: the list is still there to go on in
  expect(list.hidden).toBe(false);
  radios[1]!.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  expect([list.hidden, document.activeElement]).toEqual([true, choose]);
});

test("a recipe made in Python is shown though no preset has its name", async () => {
  const { model } = await open();
  await model.receive({ recipe: "mine" });
  expect(find(".peek-recipe-name").textContent).toBe("mine");
  expect(find<HTMLInputElement>(".peek-recipe-list input:checked").value).toBe("mine");
});

test("pause, one step, play and restart", async () => {
  const { model } = await open();
  await model.receive({ status: status() });
  expect(button("Single step").disabled).toBe(true);
  button("Pause").click();
  await settle();
  expect(model.saved).toEqual([{ playing: false }]);
  button("Single step").click();
  button("Restart with the same seed").click();
  button("Play").click();
  await vi.advanceTimersByTimeAsync(100);
  expect(model.kinds().slice(-2)).toEqual(["step", "restart"]);
  expect(model.state.playing).toBe(true);
});

test("play at the end of the schedule sends play", async () => {
  const { model } = await open();
  await model.receive({ status: status({ state: "done", step: 150 }) });
  button("Play").click();
  await settle();
  expect(model.kinds().at(-1)).toBe("play");
  expect(model.saved).toEqual([]);
});

test("names from the model are shown as text, never as markup", async () => {
  const nasty = "<img src=x onerror=alert(1)>";
  const state = traits({ layer: nasty, _about: { model: nasty, preprocess: nasty, device: nasty } });
  state._layer_list = [{ ...state._layer_list[0]!, name: nasty, kind: nasty, channels: 10 }];
  state.class_names = Array.from({ length: 10 }, () => nasty);
  state._recipe_list = [{ name: nasty, summary: nasty, source: nasty }];
  state.recipe = nasty;
  state._knobs = [{ ...state._knobs[0]!, label: nasty, unit: nasty, help: nasty }];
  const { model } = await open(new FakeModel(state));
  await model.receive({ status: status({ text: nasty, error: nasty, layer: nasty, state: "error" }) });
  await vi.advanceTimersByTimeAsync(5000);
  expect(page.host.querySelectorAll("img, script")).toHaveLength(0);
  expect(find(".peek-heading-layer").textContent).toBe(nasty);
  expect(find("[role=alert]").textContent).toBe(nasty);
});

test("an error is shown and goes away with the next run", async () => {
  const { model } = await open();
  await model.receive({ status: status({ state: "error", error: "ModelError: bad shape" }) });
  expect(find("[role=alert]").hidden).toBe(false);
  await model.receive({ status: status({ run: 2 }) });
  expect(find("[role=alert]").hidden).toBe(true);
});

test("a dead kernel disables the controls and shows a sentence, and nothing throws", async () => {
  const { model } = await open();
  await model.receive({ frame: frame(1), status: status() });
  model.dead = true;
  await vi.advanceTimersByTimeAsync(2500);
  expect(root().peekHealth).toBe("gone");
  expect(find<HTMLFieldSetElement>("fieldset").disabled).toBe(true);
  expect(find(".peek-status").textContent).toMatch(/Kernel disconnected/);
});

test("using a control reveals a dead kernel", async () => {
  const { model } = await open(new FakeModel(traits({ playing: false })));
  model.dead = true;
  expect(() => drag(range("Unit"), 5)).not.toThrow();
  await vi.advanceTimersByTimeAsync(200);
  expect(find(".peek-status").textContent).toMatch(/Kernel disconnected/);
});

test("keys typed into a control do not reach the notebook, its own shortcuts do", async () => {
  await open();
  const reached: string[] = [];
  page.host.addEventListener("keydown", (event) => reached.push(event.key));
  const press = (key: string, more: KeyboardEventInit = {}): void =>
    void range("Unit").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
  press("ArrowUp");
  press("b");
  press("ArrowUp", { shiftKey: true });
  press("s", { ctrlKey: true });
  press("Enter", { shiftKey: true });
  expect(reached).toEqual(["s", "Enter"]);
});

test("a control that is disabled or removed passes the focus to its neighbor", async () => {
  const { model } = await open(new FakeModel(traits({ layer: "fc", unit: 8 })));
  button("Next unit").focus();
  button("Next unit").click();
  await settle();
  expect(model.state.unit).toBe(9);
  expect(button("Next unit").disabled).toBe(true);
  expect([find("input[aria-label='Unit number']"), button("Random unit")]).toContain(document.activeElement);

  await model.receive({ status: status({ start: "a picture" }) });
  const own = [...page.host.querySelectorAll("button")].find((one) => one.textContent === "Start from noise again")!;
  own.focus();
  await model.receive({ status: status({ start: "" }) });
  expect(own.hidden).toBe(true);
  expect(page.host.contains(document.activeElement)).toBe(true);
});

test("the focus stays where the user has moved it", async () => {
  const { model } = await open(new FakeModel(traits({ layer: "fc", unit: 8 })));
  const elsewhere = document.body.appendChild(document.createElement("input"));
  button("Next unit").focus();
  elsewhere.focus();
  await model.receive({ unit: 9 });
  expect(document.activeElement).toBe(elsewhere);
  elsewhere.remove();
});

test("every control has a name", async () => {
  await open();
  for (const control of page.host.querySelectorAll("button, input, select")) {
    const name = control.getAttribute("aria-label") ?? control.closest("label")?.textContent ?? control.textContent;
    expect(name, control.outerHTML).toBeTruthy();
  }
});

test("nothing is left after 50 mounts: no listener, timer, observer, object URL, bitmap or node", async () => {
  const held = new Map<object, number>();
  const signals = new Set<AbortSignal>();
  const add = EventTarget.prototype.addEventListener;
  const remove = EventTarget.prototype.removeEventListener;
  vi.spyOn(EventTarget.prototype, "addEventListener").mockImplementation(function (this: EventTarget, ...args) {
    const options = args[2];
    const signal = typeof options === "object" ? options?.signal : undefined;
    if (signal) signals.add(signal);
    else if (!(this instanceof AbortSignal)) held.set(this, (held.get(this) ?? 0) + 1);
    return add.apply(this, args);
  });
  vi.spyOn(EventTarget.prototype, "removeEventListener").mockImplementation(function (this: EventTarget, ...args) {
    if (held.has(this)) held.set(this, (held.get(this) ?? 0) - 1);
    return remove.apply(this, args);
  });

  let urls = 0;
  let watching = 0;
  vi.stubGlobal("URL", { createObjectURL: () => `blob:${++urls}`, revokeObjectURL: () => --urls });
  for (const name of ["ResizeObserver", "MutationObserver", "PerformanceObserver"]) {
    vi.stubGlobal(
      name,
      class {
        observe = () => void ++watching;
        disconnect = () => void --watching;
      },
    );
  }

  const model = new FakeModel();
  for (let i = 0; i < 50; i += 1) {
    const widget = createWidget();
    const life = new AbortController();
    const view = new AbortController();
    // The two ways a page.host may end things, in turn.
    const end = widget.initialize({ model: model.asModel, signal: life.signal });
    const leave = widget.render({ model: model.asModel, el: page.host, signal: view.signal });
    page.screen.show(true);
    await model.receive({ frame: frame(i), status: status({ n: i }), _history: bytes(...Array(16).fill(0)) });
    drag(range("blur"), i + 1);
    drag(range("Unit"), i + 1);
    button("Pause").click();
    if (i % 2) {
      leave();
      end();
    } else {
      view.abort();
      life.abort();
    }
    model.state.playing = true;
    await settle();
  }
  expect(signals.size).toBeGreaterThanOrEqual(50);
  expect([...signals].filter((signal) => !signal.aborted)).toEqual([]);
  expect([...held.values()].filter((count) => count !== 0)).toEqual([]);
  expect(model.handlerCount).toBe(0);
  expect(page.screen.observers.size).toBe(0);
  expect([urls, watching]).toEqual([0, 0]);
  expect(page.screen.bitmapsOpen).toBe(0);
  expect(page.host.childElementCount).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("a view that is mounted and left keeps no listener on the client", async () => {
  const { model, widget } = await open();
  for (let i = 0; i < 50; i += 1) {
    const place = document.createElement("div");
    widget.render({ model: model.asModel, el: place })();
    expect(place.childElementCount).toBe(0);
  }
  const updates = vi.spyOn(Element.prototype, "setAttribute");
  await model.receive({ unit: 4 });
  const perView = updates.mock.calls.filter(([, value]) => value === "unit 4 of 512, conv2");
  expect(perView).toHaveLength(1);
  expect(page.screen.observers.size).toBe(1);
});

test("a click on the picture gives the widget the focus, so that the notebook's shortcuts are not run", async () => {
  await open();
  const root = find(".peek-root");
  expect(root.tabIndex).toBe(-1);
  expect(page.host.classList).toContain("peek-host");
  const seen = vi.fn();
  page.host.addEventListener("keydown", seen);
  root.focus();
  root.dispatchEvent(new KeyboardEvent("keydown", { key: "d", bubbles: true, composed: true }));
  expect(seen).not.toHaveBeenCalled();
});

test("changed weights are said on the picture, with a way to redraw", async () => {
  const { model } = await open();
  await model.receive({ status: status({ state: "done", weights_changed: true }) });
  const labelled = (label: string) =>
    [...page.host.querySelectorAll("button")].find((one) => one.textContent === label);
  const again = labelled("Draw again with the new weights");
  expect(again?.hidden).toBe(false);
  again?.click();
  expect(model.sent).toContainEqual({ kind: "restart" });
  labelled("Redraw while it trains")?.click();
  expect(model.get("redraw")).toBe(true);
});

test("a comparison that makes the run rest is said on the picture", async () => {
  const { model } = await open();
  await model.receive({
    status: status({ state: "idle", comparing: true, text: "Paused: a comparison is being drawn." }),
  });
  expect(find(".peek-messages > .peek-warning").hidden).toBe(false);
  expect(find(".peek-messages > .peek-warning").textContent).toBe("Paused: a comparison is being drawn.");
});

test("tags of a kernel that is gone can be saved from the page", async () => {
  const { model } = await open(new FakeModel(traits({ tags: { conv5: { "3": ["dog"] } } })));
  expect(page.host.querySelector("a[download]")).toBeNull();
  model.dead = true;
  await model.receive({ frame: frame(1), status: status() });
  await vi.advanceTimersByTimeAsync(2500);
  expect(decodeURIComponent(find<HTMLAnchorElement>("a[download='tags.json']").href)).toContain('"dog"');
});
