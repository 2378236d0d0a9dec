import { expect, test } from "vitest";
import createWidget from "../../src/index";
import { FakeModel, frame, openTab, settle, status, traits, usePage } from "../fakes";

const page = usePage();

async function open(model = new FakeModel()): Promise<FakeModel> {
  const widget = createWidget();
  widget.initialize({ model: model.asModel });
  widget.render({ model: model.asModel, el: page.host });
  page.screen.show(true);
  await settle();
  return model;
}

const four = [frame(1), frame(2), frame(3), frame(4)];
const strip = (): HTMLElement => page.host.querySelector(".peek-seeds")!;
const tiles = (): HTMLButtonElement[] => [...strip().querySelectorAll("button")];
const pressed = (): string[] => tiles().map((tile) => tile.getAttribute("aria-pressed") ?? "");

test("the seeds drawn at once are seen below the picture, and a click draws another of them large", async () => {
  const model = await open(new FakeModel(traits({ seed: 5 })));
  expect(strip().hidden).toBe(true);
  await model.tell({ kind: "seeds", seeds: [4, 5, 6, 7] }, four);
  expect(strip().hidden).toBe(false);
  expect(tiles().map((tile) => tile.getAttribute("aria-label"))).toEqual(["seed 4", "seed 5", "seed 6", "seed 7"]);
  expect(pressed()).toEqual(["false", "true", "false", "false"]);
  tiles()[3]!.click();
  expect(model.get("seed")).toBe(7);
  await settle();
  expect(pressed()).toEqual(["false", "false", "false", "true"]);
});

test("a seed keeps the focus while its picture is drawn on", async () => {
  const model = await open();
  await model.tell({ kind: "seeds", seeds: [0, 1, 2, 3] }, four);
  tiles()[2]!.focus();
  await model.tell({ kind: "seeds", seeds: [0, 1, 2, 3] }, four);
  expect(document.activeElement).toBe(tiles()[2]);
});

test("with one seed again there is no strip, and of many sets no picture is left open", async () => {
  const model = await open();
  for (let n = 0; n < 5; n += 1) await model.tell({ kind: "seeds", seeds: [0, 1] }, four.slice(2));
  expect(tiles()).toHaveLength(2);
  expect(page.screen.bitmapsOpen).toBe(2);
  await model.tell({ kind: "seeds", seeds: [] });
  expect(strip().hidden).toBe(true);
  expect(tiles()).toHaveLength(0);
  expect(page.screen.bitmapsOpen).toBe(0);
});

test("of the sets that come while one is decoded only the newest is decoded", async () => {
  const model = await open();
  for (let n = 1; n <= 9; n += 1) void model.tell({ kind: "seeds", seeds: [n, n + 1] }, four.slice(2));
  await settle();
  await settle();
  expect(tiles().map((tile) => tile.getAttribute("aria-label"))).toEqual(["seed 9", "seed 10"]);
  expect(page.screen.decodes).toBe(4);
});

test("a view that is opened later shows them too", async () => {
  const model = new FakeModel();
  const widget = createWidget();
  widget.initialize({ model: model.asModel });
  await model.tell({ kind: "seeds", seeds: [0, 1, 2, 3] }, four);
  widget.render({ model: model.asModel, el: page.host });
  await settle();
  expect(tiles()).toHaveLength(4);
  expect(page.host.querySelector(".peek-root")!.classList.contains("peek-with-seeds")).toBe(true);
});

test("how many are drawn at once is chosen in the details, which say what auto comes to", async () => {
  const model = await open(new FakeModel(traits({ status: status() })));
  const panel = await openTab(page.host, "Details");
  const choice = panel.querySelector<HTMLSelectElement>("select[aria-label='Seeds at once']")!;
  const auto = choice.options[0]!;
  expect([choice.value, auto.textContent]).toEqual(["", "auto (1)"]);
  await model.tell({ kind: "seeds", seeds: [0, 1, 2, 3] }, four);
  expect(auto.textContent).toBe("auto (4)");
  choice.value = "2";
  choice.dispatchEvent(new Event("change"));
  expect(model.get("seeds_at_once")).toBe(2);
  await settle();
  expect(auto.textContent).toBe("auto");
  choice.value = "";
  choice.dispatchEvent(new Event("change"));
  expect(model.get("seeds_at_once")).toBe(null);
});
