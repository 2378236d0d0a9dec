import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Session } from "../../src/client";
import { letterOf, moved, ordered, rowsInView, Selection, UNSEEN } from "../../src/sheet/math";
import { sheetContents } from "../../src/sheet/panel";
import type { View } from "../../src/ui/view";
import { bytes, FakeModel, installLater, installScreen, settle, traits } from "../fakes";

describe("what is in view", () => {
  test("a few rows more than can be seen, never past an end", () => {
    expect(rowsInView(0, 300, 100, 50, 2)).toEqual({ first: 0, end: 5 });
    expect(rowsInView(2050, 300, 100, 50, 2)).toEqual({ first: 18, end: 26 });
    expect(rowsInView(4700, 300, 100, 50, 2)).toEqual({ first: 45, end: 50 });
    // after a search the rows are few, and the scroll position is still from before
    expect(rowsInView(4700, 300, 100, 3, 2)).toEqual({ first: 2, end: 3 });
    expect(rowsInView(0, 300, 100, 0, 2)).toEqual({ first: 0, end: 0 });
  });

  test("of any scroll position every row that can be seen is there", () => {
    for (let top = 0; top < 3000; top += 37) {
      const { first, end } = rowsInView(top, 410, 114, 27, 1);
      const last = Math.min(26, Math.floor((top + 410) / 114));
      for (let row = Math.floor(top / 114); row <= last && row < 27; row += 1) {
        expect(row >= first && row < end).toBe(true);
      }
    }
  });
});

describe("keys", () => {
  test("lead to a neighbor, a row, a page, the ends, and never out", () => {
    const go = (key: string, at: number) => moved(key, at, 5, 23, 3);
    expect(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => go(key, 7))).toEqual([6, 8, 2, 12]);
    expect(["ArrowLeft", "ArrowUp", "PageUp"].map((key) => go(key, 0))).toEqual([0, 0, 0]);
    expect(["ArrowRight", "ArrowDown", "PageDown"].map((key) => go(key, 22))).toEqual([22, 22, 22]);
    // a last row that is not full: down from above its gap stays
    expect(go("ArrowDown", 19)).toBe(19);
    expect([go("Home", 7), go("End", 7), go("PageDown", 1), go("PageUp", 17)]).toEqual([0, 22, 16, 2]);
    expect(go("a", 7)).toBeNull();
    expect(moved("ArrowDown", -1, 5, 0, 3)).toBeNull();
  });

  test("are letters whatever script the keyboard writes", () => {
    expect([letterOf("d", "KeyD"), letterOf("D", "KeyD"), letterOf("в", "KeyD")]).toEqual(["d", "d", "d"]);
    expect([letterOf("1", "Digit1"), letterOf("Enter", "Enter"), letterOf("ü", "BracketLeft")]).toEqual(["", "", ""]);
  });
});

test("a selection: one, one more, a range, a range as it lies", () => {
  const chosen = new Selection();
  chosen.only(4);
  chosen.extend(7, [0, 1, 2, 3, 4, 5, 6, 7]);
  expect(chosen.targets).toEqual([4, 5, 6, 7]);
  chosen.extend(2, [0, 1, 2, 3, 4, 5, 6, 7]);
  expect(chosen.targets).toEqual([2, 3, 4]);
  chosen.toggle(9);
  chosen.toggle(3);
  expect(chosen.targets).toEqual([2, 4, 9]);
  chosen.only(9);
  chosen.extend(1, [5, 9, 2, 1, 4]);
  expect(chosen.targets).toEqual([1, 2, 9]);
  chosen.units.clear();
  expect(chosen.targets).toEqual([1]);
});

describe("the order", () => {
  const words = (unit: number) => ({ 1: ["dog"], 2: ["Cat", "dog"], 3: [] as string[] })[unit];
  const activation = (unit: number) => [3, 9, Number.NaN, 5, 1][unit] ?? Number.NaN;
  const wanted = { total: 5, sort: "unit" as const, search: "", word: "" };
  const lay = (changes: object) => ordered({ ...wanted, ...changes }, words, activation, [4, 0, 2]);

  test("by number, activation, tag and likeness; what is not known comes last", () => {
    expect(lay({})).toEqual([0, 1, 2, 3, 4]);
    expect(lay({ sort: "activation" })).toEqual([1, 3, 0, 4, 2]);
    expect(lay({ sort: "tag" })).toEqual([2, 1, 0, 3, 4]);
    expect(lay({ sort: "similarity" })).toEqual([4, 0, 2, 1, 3]);
  });

  test("of those that are searched for", () => {
    expect(lay({ search: " DO" })).toEqual([1, 2]);
    expect(lay({ search: "3" })).toEqual([3]);
    expect(lay({ word: "cat" })).toEqual([2]);
    expect(lay({ word: UNSEEN })).toEqual([0, 4]);
    expect(lay({ word: "dog", search: "cat" })).toEqual([2]);
  });
});

describe("the panel", () => {
  let host: HTMLElement;
  let end: AbortController;
  let urls: Set<string>;

  beforeEach(() => {
    vi.useFakeTimers();
    installScreen();
    installLater();
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
    host = document.body.appendChild(document.createElement("div"));
    end = new AbortController();
  });

  afterEach(() => {
    host.remove();
    vi.useRealTimers();
  });

  /** A sheet of 512 units as the page has it once its script is there. */
  async function open(changes = {}) {
    const model = new FakeModel(traits({ unit: 3, ...changes }));
    const session = new Session(model.asModel);
    const { sheet: store } = await session.later.load();
    const view: View = { session, signal: end.signal };
    host.append(...sheetContents(view, store));
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
    return { model, session, store, view };
  }

  const grid = () => host.querySelector<HTMLElement>("[role=grid]")!;
  const tile = (unit: number) => host.querySelector<HTMLElement>(`[data-unit="${unit}"]`)!;
  const press = (key: string, more = {}) =>
    tileWithFocus().dispatchEvent(
      new KeyboardEvent("keydown", { key, code: `Key${key.toUpperCase()}`, bubbles: true, cancelable: true, ...more }),
    );
  const tileWithFocus = () => host.querySelector<HTMLElement>('[role=gridcell][tabindex="0"]')!;
  const thumbs = (...units: number[]) => ({
    kind: "thumbs",
    sheet: 1,
    n: 2,
    units: units.map((unit) => [unit, unit / 2, false, ""]),
  });

  test("of 512 units only the rows in view are in the page, and the one with the focus", async () => {
    await open();
    expect(grid().getAttribute("aria-rowcount")).toBe(
      String(Math.ceil(512 / Number(grid().getAttribute("aria-colcount")))),
    );
    expect(host.querySelectorAll("[role=gridcell]").length).toBeLessThan(60);
    expect(tileWithFocus()).toBe(tile(3));
    grid().scrollTop = 5000;
    grid().dispatchEvent(new Event("scroll"));
    await vi.advanceTimersByTimeAsync(50);
    expect(tile(3)).not.toBeNull();
    expect(host.querySelectorAll("[role=row]:not([hidden])").length).toBeLessThan(12);
  });

  test("what is in view is told, the unit under the eye first, and not for every scroll", async () => {
    const { model } = await open();
    for (let top = 0; top <= 3000; top += 100) {
      grid().scrollTop = top;
      grid().dispatchEvent(new Event("scroll"));
      await vi.advanceTimersByTimeAsync(16);
    }
    await vi.advanceTimersByTimeAsync(300);
    const views = model.sent.filter((message) => message.kind === "view") as { units: number[] }[];
    expect(views.length).toBeLessThan(6);
    expect(views.at(-1)?.units).not.toContain(0);
    grid().scrollTop = 0;
    grid().dispatchEvent(new Event("scroll"));
    await vi.advanceTimersByTimeAsync(300);
    expect((model.sent.filter((message) => message.kind === "view").at(-1) as { units: number[] }).units[0]).toBe(3);
  });

  test("a tile says its unit, tags and activation; a tag is text", async () => {
    const { model } = await open({ tags: { conv2: { "1": ["<b>dog</b>"], "2": [] } } });
    await model.tell(thumbs(1), [bytes(0xff, 0xd8)]);
    await vi.advanceTimersByTimeAsync(200);
    expect(tile(1).querySelector(".peek-unseen")?.textContent).toBe(
      "unit 1 of 512, tags: <b>dog</b>, activation 0.500",
    );
    expect(tile(2).querySelector(".peek-unseen")?.textContent).toContain("reviewed, untagged");
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

  test("a letter tags all that are selected, the same letter takes it off where all have it", async () => {
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

  test("a letter without a word asks for it, then tags; Escape asks no more", async () => {
    const { model } = await open();
    press("c");
    const box = host.querySelector<HTMLInputElement>(".peek-key-word")!;
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

  test("what is typed into a box is no command", async () => {
    const { model } = await open({ tag_keys: { d: "dog" } });
    const search = host.querySelector<HTMLInputElement>("input[type=search]")!;
    search.dispatchEvent(new KeyboardEvent("keydown", { key: "d", code: "KeyD", bubbles: true }));
    expect(model.sent).toEqual([]);
  });

  test("what is taken off several units at once is one edit", async () => {
    const { model } = await open({ tags: { conv2: { "3": ["dog"], "4": ["dog", "fur"], "5": [] } } });
    tile(3).click();
    for (let more = 0; more < 3; more += 1) press("ArrowRight", { shiftKey: true });
    press("Delete");
    expect(model.sent.filter(({ kind }) => kind === "tag")).toEqual([
      { kind: "tag", layer: "conv2", units: [3, 4], words: ["dog", "fur"], on: false },
    ]);
  });

  test("Enter opens the unit on the bench, a full stop takes its suggestion", async () => {
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
    expect(tile(4).querySelector(".peek-sheet-tile-ghost")?.textContent).toBe("");
  });

  test("counts come in words, and a click shows only the units that have the word", async () => {
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
    const button = host.querySelector<HTMLButtonElement>(".peek-word")!;
    expect(button.textContent).toContain("2 of 512, 0.4 %");
    button.click();
    const shown = () =>
      [...host.querySelectorAll("[role=row]:not([hidden]) > [role=gridcell]:not([hidden])")].map((each) =>
        each.getAttribute("data-unit"),
      );
    expect(shown()).toEqual(["7", "9"]);
    // what one works on does not jump away with its tag
    await model.receive({ tags: { conv2: { "9": ["dog"], "7": [] } } });
    expect(shown()).toEqual(["7", "9"]);
  });

  test("pictures of another sheet replace these, and at the end nothing is left", async () => {
    const { model, session } = await open();
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
    session.dispose();
    expect(model.handlerCount).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
