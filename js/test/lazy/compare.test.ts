import { expect, test, vi } from "vitest";
import createWidget from "../../src/index";
import type { ComparisonSet, SavedFile } from "../../src/protocol.gen";
import { FakeModel, frame, installLazyModule, installScreen, openTab, settle, traits, usePage } from "../fakes";

const page = usePage();

const RECIPES = ["peek", "oygard-2016", "lucid-2017"].map((name) => ({ name, summary: "", source: "" }));

function set(n: number, count: number, more: Partial<ComparisonSet> = {}): ComparisonSet {
  const items = Array.from({ length: count }, (_, at) => ({
    caption: `seed ${at} <b>`,
    note: "step 1 of 2",
    activation: at === 0 ? null : at,
    bar: [0, 50] as const,
    controls: at === 0 ? {} : { seed: at },
  }));
  return { kind: "compare", n, state: "drawing", title: "Unit 3", text: "50 %", problem: "", items, ...more };
}

async function open(): Promise<{ model: FakeModel; find: <E extends HTMLElement>(what: string) => E[]; end(): void }> {
  const model = new FakeModel(traits({ _recipe_list: RECIPES }));
  const view = new AbortController();
  const widget = createWidget();
  widget.initialize({ model: model.asModel, signal: view.signal } as never);
  widget.render({ model: model.asModel, el: page.host, signal: view.signal } as never);
  page.screen.show(true);
  await openTab(page.host, "Compare");
  return { model, find: (what) => [...page.host.querySelectorAll<never>(what)], end: () => view.abort() };
}

const named = (name: string): HTMLButtonElement =>
  [...page.host.querySelectorAll("button")].find((one) =>
    [one.textContent, one.ariaLabel ?? one.getAttribute("aria-label")].includes(name),
  )!;
const kind = (): HTMLSelectElement => page.host.querySelector(".peek-choices > select")!;
const choose = (what: string): void => {
  kind().value = what;
  kind().dispatchEvent(new Event("change"));
};
const asked = (model: FakeModel): unknown[] =>
  model.sent.filter((one) => ["compare", "compare_ack", "save"].includes(one.kind));

test("recipes are chosen by name, two to six of them", async () => {
  const { model, find } = await open();
  named("Draw 2 recipes").click();
  expect(asked(model)).toEqual([{ kind: "compare", what: "recipes", values: ["peek", "oygard-2016"] }]);
  for (const box of find<HTMLInputElement>(".peek-choices input:checked")) box.click();
  expect(named("Choose 2 to 6").disabled).toBe(true);
});

test("seeds and units continue from the current ones and end with the layer", async () => {
  const { model } = await open();
  choose("seeds");
  named("Draw 3 seeds").click();
  choose("units");
  model.set("unit", 511);
  await settle();
  named("Draw 3 units").click();
  expect(asked(model)).toEqual([
    { kind: "compare", what: "seeds", values: [0, 1, 2] },
    { kind: "compare", what: "units", values: [509, 510, 511] },
  ]);
});

test("the pictures are shown in step and acknowledged rarely", async () => {
  const { model, find } = await open();
  for (let n = 1; n <= 5; n += 1) {
    await model.tell(set(n, 3), [frame(), frame(), frame()]);
  }
  const tiles = find<HTMLButtonElement>(".peek-tile");
  expect(tiles.map((one) => one.querySelector(".peek-tile-label")?.textContent)).toEqual([
    "seed 0 <b>",
    "seed 1 <b>",
    "seed 2 <b>",
  ]);
  expect(find("[role=tab][aria-selected=true]")[0]?.textContent).toBe("Compare");
  vi.advanceTimersByTime(300);
  expect(asked(model)).toEqual([{ kind: "compare_ack", n: 5 }]);
  expect(page.screen.bitmapsOpen).toBe(3);
  // A click sets what draws this picture; where the page can't there is none.
  expect(tiles[0]?.disabled).toBe(true);
  tiles[2]?.click();
  expect(model.state.seed).toBe(2);
});

test("a set that is superseded while another one is decoded is skipped", async () => {
  let release: (() => void) | undefined;
  page.screen = installScreen(() => new Promise((resolve) => (release = resolve)));
  const { model } = await open();
  for (let n = 1; n <= 4; n += 1) model.tell(set(n, 1), [frame()]);
  release?.();
  await settle();
  release?.();
  await settle();
  expect(page.screen.decodes).toBe(2);
});

test("closing it removes everything", async () => {
  const { model, find, end } = await open();
  await model.tell(set(1, 2), [frame(), frame()]);
  named("Close").click();
  expect(asked(model)).toEqual([{ kind: "compare", what: "recipes", values: [] }]);
  await model.tell(set(2, 0, { state: "" }), []);
  expect(find<HTMLElement>(".peek-tile").every((one) => one.hidden)).toBe(true);
  expect(page.screen.bitmapsOpen).toBe(0);
  await model.tell(set(3, 2), [frame(), frame()]);
  // jsdom's own, for the event of a section that opens.
  vi.advanceTimersByTime(0);
  end();
  expect(page.screen.bitmapsOpen).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("a problem is shown as text", async () => {
  const { model, find } = await open();
  await model.tell(set(1, 0, { state: "error", problem: "No <b>recipe</b>." }), []);
  const [box] = find<HTMLElement>(".peek-tab-compare .peek-error");
  expect(box?.hidden).toBe(false);
  expect(box?.textContent).toBe("No <b>recipe</b>.");
});

function kept(what: SavedFile["what"], more: Partial<SavedFile> = {}): SavedFile {
  return { kind: "saved", what, name: "x.png", text: "", note: "", problem: "", ...more };
}

test("save downloads the kernel's file and revokes its URL", async () => {
  const made: Blob[] = [];
  const revoked: string[] = [];
  const clicked: string[] = [];
  vi.stubGlobal("URL", {
    createObjectURL: (blob: Blob) => `blob:${made.push(blob)}`,
    revokeObjectURL: (address: string) => revoked.push(address),
  });
  const click = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (this: HTMLAnchorElement) {
    clicked.push(`${this.download} ${this.getAttribute("href")}`);
  });
  const { model } = await open();
  named("Save").click();
  expect(asked(model)).toEqual([{ kind: "save", what: "picture" }]);
  await model.tell(kept("picture", { note: "A note." }), [frame(7)]);
  expect(clicked).toEqual(["x.png blob:1"]);
  expect(revoked).toEqual(["blob:1"]);
  expect(made[0]?.size).toBe(4);
  expect(page.host.querySelector(".peek-save p")?.textContent).toBe("Saved as x.png. A note.");
  named("Save").click();
  await model.tell(kept("picture", { problem: "There is no picture yet." }), []);
  expect(page.host.querySelector(".peek-save p")?.textContent).toBe("There is no picture yet.");
  click.mockRestore();
});

test("copy puts the picture into the clipboard, or says what to do if the browser refuses", async () => {
  const written: unknown[] = [];
  vi.stubGlobal(
    "ClipboardItem",
    class {
      constructor(public readonly content: Record<string, Promise<Blob>>) {}
    },
  );
  const write = vi.fn(async ([item]: { content: Record<string, Promise<Blob>> }[]) => {
    written.push((await item?.content["image/png"])?.size);
  });
  vi.stubGlobal("navigator", { clipboard: { write } });
  const { model } = await open();
  named("Copy").click();
  // Within the click, or the browser refuses.
  expect(write).toHaveBeenCalledTimes(1);
  await model.tell(kept("picture"), [frame()]);
  expect(written).toEqual([4]);
  expect(page.host.querySelector(".peek-save p")?.textContent).toBe("Copied.");

  vi.stubGlobal("navigator", {});
  named("Copy").click();
  await model.tell(kept("picture"), [frame()]);
  expect(page.host.querySelector(".peek-save p")?.textContent).toContain("use Save");
  // Code is shown where it can't be copied.
  named("Code").click();
  await model.tell(kept("code", { text: "UnitExplorer(model)" }), []);
  expect(page.host.querySelector(".peek-save p")?.textContent).toContain("UnitExplorer(model)");
});

test("an answer to a request of another page is ignored", async () => {
  const { model } = await open();
  await model.tell(kept("picture"), [frame()]);
  expect(page.host.querySelector(".peek-save p")?.textContent).toBe("");
});

test("a comparison started in Python opens the panel, and no message is lost while it loads", async () => {
  const model = new FakeModel(traits({ _recipe_list: RECIPES }));
  let come: () => void = () => undefined;
  const waits = new Promise<void>((resolve) => (come = resolve));
  installLazyModule(waits);
  const widget = createWidget();
  widget.render({ model: model.asModel, el: page.host } as never);
  page.screen.show(true);
  await settle();
  await model.tell(set(1, 0, { state: "starting", title: "" }), []);
  const panel = page.host.querySelector<HTMLElement>("[role=tabpanel].peek-tab-compare")!;
  expect(panel.hidden).toBe(false);
  vi.advanceTimersByTime(0);
  await settle();
  await model.tell(set(2, 0, { state: "error", problem: "No such unit." }), []);
  come();
  await settle();
  expect(panel.querySelector(".peek-error")?.textContent).toBe("No such unit.");
});
