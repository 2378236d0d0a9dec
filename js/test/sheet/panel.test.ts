import { beforeEach, describe, expect, test, vi } from "vitest";
import { WidgetClient } from "../../src/client";
import { sheetContents } from "../../src/sheet/panel";
import type { View } from "../../src/ui/view";
import { bytes, FakeModel, settle, traits, usePage } from "../fakes";

describe("the contact sheet", () => {
  const page = usePage();
  let end: AbortController;
  let urls: Set<string>;

  beforeEach(() => {
    urls = new Set();
    let made = 0;
    vi.spyOn(URL, "createObjectURL").mockImplementation(() => {
      made += 1;
      const url = `blob:${made}`;
      urls.add(url);
      return url;
    });
    vi.spyOn(URL, "revokeObjectURL").mockImplementation((url) => void urls.delete(url));
    vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(640);
    vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(400);
    end = new AbortController();
  });

  /** A sheet of 512 units as the page has it once its script is there. */
  async function open(changes = {}) {
    const model = new FakeModel(traits({ unit: 3, ...changes }));
    const client = new WidgetClient(model.asModel);
    const { sheet: store } = await client.lazy.load();
    const view: View = { client, signal: end.signal };
    page.host.append(...sheetContents(view, store));
    store.open(view, true);
    await model.tell({
      kind: "sheet",
      sheet: 1,
      n: 1,
      layer: "conv2",
      total: 512,
      open: true,
      state: "running",
      text: "12 of 512",
      problem: "",
    });
    model.sent.length = 0;
    return { model, client, store, view };
  }

  const grid = () => page.host.querySelector<HTMLElement>("[role=grid]")!;
  const tile = (unit: number) => page.host.querySelector<HTMLElement>(`[data-unit="${unit}"]`)!;
  const press = (key: string, more = {}) =>
    tileWithFocus().dispatchEvent(
      new KeyboardEvent("keydown", { key, code: `Key${key.toUpperCase()}`, bubbles: true, cancelable: true, ...more }),
    );
  const tileWithFocus = () => page.host.querySelector<HTMLElement>('[role=gridcell][tabindex="0"]')!;
  const thumbs = (...units: number[]) => ({
    kind: "thumbs",
    sheet: 1,
    n: 2,
    units: units.map((unit) => [unit, unit / 2, false, ""]),
  });

  test("of 512 units only the rows in view and the focused one are in the page", async () => {
    await open();
    expect(grid().getAttribute("aria-rowcount")).toBe(
      String(Math.ceil(512 / Number(grid().getAttribute("aria-colcount")))),
    );
    expect(page.host.querySelectorAll("[role=gridcell]").length).toBeLessThan(60);
    expect(tileWithFocus()).toBe(tile(3));
    grid().scrollTop = 5000;
    grid().dispatchEvent(new Event("scroll"));
    await vi.advanceTimersByTimeAsync(50);
    expect(tile(3)).not.toBeNull();
    expect(page.host.querySelectorAll("[role=row]:not([hidden])").length).toBeLessThan(12);
  });

  test("the units in view are sent, the active one first, and not at every scroll", async () => {
    const { model } = await open();
    for (let top = 0; top <= 3000; top += 100) {
      grid().scrollTop = top;
      grid().dispatchEvent(new Event("scroll"));
      await vi.advanceTimersByTimeAsync(16);
    }
    await vi.advanceTimersByTimeAsync(300);
    const views = model.sent.filter((message) => message.kind === "view") as { units: readonly number[] }[];
    expect(views.length).toBeLessThan(6);
    expect(views.at(-1)?.units).not.toContain(0);
    grid().scrollTop = 0;
    grid().dispatchEvent(new Event("scroll"));
    await vi.advanceTimersByTimeAsync(300);
    expect(
      (model.sent.filter((message) => message.kind === "view").at(-1) as { units: readonly number[] }).units[0],
    ).toBe(3);
  });

  test("a tile describes its unit, tags and activation, with tags as text", async () => {
    const { model } = await open({ tags: { conv2: { "1": ["<b>dog</b>"], "2": [] } } });
    await model.tell(thumbs(1), [bytes(0xff, 0xd8)]);
    await vi.advanceTimersByTimeAsync(200);
    expect(tile(1).querySelector(".peek-visually-hidden")?.textContent).toBe(
      "unit 1 of 512, tags: <b>dog</b>, activation 0.500",
    );
    expect(tile(2).querySelector(".peek-visually-hidden")?.textContent).toContain("reviewed, untagged");
    expect(tile(1).querySelector("b")).toBeNull();
    expect(tile(1).querySelector("img")?.hidden).toBe(false);
    expect(tile(2).querySelector("img")?.hidden).toBe(true);
  });

  test("messages are acknowledged together, the newest number", async () => {
    const { model } = await open();
    await model.tell({ ...thumbs(0), n: 7 }, [bytes(1)]);
    await model.tell({ ...thumbs(1), n: 8 }, [bytes(1)]);
    await vi.advanceTimersByTimeAsync(300);
    expect(model.sent.filter((message) => message.kind === "sheetack")).toEqual([{ kind: "sheetack", n: 8 }]);
  });

  test("a letter tags all selected units, and removes the tag where all have it", async () => {
    const { model } = await open({ tag_keys: { d: "dog" }, tags: { conv2: { "3": ["Dog"] } } });
    press("ArrowRight", { shiftKey: true });
    press("d");
    expect(model.sent.at(-1)).toEqual({ kind: "tag", layer: "conv2", units: [3, 4], words: ["dog"], on: true });
    await model.receive({ tags: { conv2: { "3": ["Dog"], "4": ["dog"] } } });
    press("d");
    expect(model.sent.at(-1)).toEqual({ kind: "tag", layer: "conv2", units: [3, 4], words: ["dog"], on: false });
    press("0");
    expect(model.sent.at(-1)).toEqual({ kind: "tag_reviewed", layer: "conv2", units: [3, 4], on: true });
    press("z", { ctrlKey: true });
    expect(model.sent.at(-1)).toEqual({ kind: "undo", again: false });
    press("z", { ctrlKey: true, shiftKey: true });
    expect(model.sent.at(-1)).toEqual({ kind: "undo", again: true });
  });

  test("a letter without a tag asks for one and adds it; Escape cancels", async () => {
    const { model } = await open();
    press("c");
    const box = page.host.querySelector<HTMLInputElement>(".peek-key-word")!;
    expect(document.activeElement).toBe(box);
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(model.sent.some((message) => message.kind === "key")).toBe(false);
    press("c");
    box.value = " cat ";
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    expect(model.sent.slice(-2)).toEqual([
      { kind: "key", key: "c", word: "cat" },
      { kind: "tag", layer: "conv2", units: [3], words: ["cat"], on: true },
    ]);
    expect(document.activeElement).toBe(tile(3));
  });

  test("text typed into a box is no command", async () => {
    const { model } = await open({ tag_keys: { d: "dog" } });
    const search = page.host.querySelector<HTMLInputElement>("input[type=search]")!;
    search.dispatchEvent(new KeyboardEvent("keydown", { key: "d", code: "KeyD", bubbles: true }));
    expect(model.sent).toEqual([]);
  });

  test("removing tags from several units is one edit", async () => {
    const { model } = await open({ tags: { conv2: { "3": ["dog"], "4": ["dog", "fur"], "5": [] } } });
    tile(3).click();
    for (let more = 0; more < 3; more += 1) press("ArrowRight", { shiftKey: true });
    press("Delete");
    expect(model.sent.filter(({ kind }) => kind === "tag")).toEqual([
      { kind: "tag", layer: "conv2", units: [3, 4], words: ["dog", "fur"], on: false },
    ]);
  });

  test("Enter opens the unit in the explorer, a period accepts its suggestion", async () => {
    const { model } = await open();
    await model.tell({
      kind: "suggestions",
      layer: "conv2",
      rows: [
        [4, "fur", "7 of its 9"],
        [5, "dog", "x"],
      ],
      problem: "",
    });
    press("ArrowRight");
    expect(tile(4).textContent).toContain("fur");
    press(".");
    expect(model.sent.at(-1)).toEqual({ kind: "tag", layer: "conv2", units: [4], words: ["fur"], on: true });
    press("Enter");
    expect(model.state.unit).toBe(4);
    await settle();
    expect(tile(4).getAttribute("aria-current")).toBe("true");
    // and it is no suggestion any more once the unit has it
    await model.receive({ tags: { conv2: { "4": ["fur"] } } });
    expect(tile(4).querySelector(".peek-sheet-tile-suggestion")?.textContent).toBe("");
  });

  test("counts are shown as text, and a click filters by the tag", async () => {
    const { model } = await open({ tags: { conv2: { "7": ["dog"], "9": ["dog"] } } });
    await model.tell({
      kind: "counts",
      layer: "conv2",
      rows: [["dog", 2, "2 of 512, 0.4 %"]],
      looked: 512,
      total: 512,
      undo: true,
      redo: false,
      problem: "",
    });
    const button = page.host.querySelector<HTMLButtonElement>(".peek-word")!;
    expect(button.textContent).toContain("2 of 512, 0.4 %");
    button.click();
    const shown = () =>
      [...page.host.querySelectorAll("[role=row]:not([hidden]) > [role=gridcell]:not([hidden])")].map((each) =>
        each.getAttribute("data-unit"),
      );
    expect(shown()).toEqual(["7", "9"]);
    // what one works on does not jump away with its tag
    await model.receive({ tags: { conv2: { "9": ["dog"], "7": [] } } });
    expect(shown()).toEqual(["7", "9"]);
  });

  test("thumbnails of another sheet replace these, and dispose removes all", async () => {
    const { model, client } = await open();
    await model.tell(thumbs(0, 1, 2), [bytes(1), bytes(2), bytes(3)]);
    await model.tell(thumbs(1), [bytes(4)]);
    expect(urls.size).toBe(3);
    await model.tell({
      kind: "sheet",
      sheet: 2,
      n: 9,
      layer: "conv2",
      total: 512,
      open: true,
      state: "running",
      text: "",
      problem: "",
    });
    expect(urls.size).toBe(0);
    // late ones of the sheet before
    await model.tell(thumbs(5), [bytes(5)]);
    expect(urls.size).toBe(0);
    end.abort();
    client.dispose();
    expect(model.handlerCount).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
