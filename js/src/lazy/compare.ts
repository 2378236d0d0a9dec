import { clamp, formatNumber } from "../numbers";
import { type ComparisonSet, type ControlValues, LARGEST_SEED } from "../protocol.gen";
import type { CompareKind, ComparisonStore } from "../stores/comparison";
import { numberBox } from "../ui/controls";
import { el, setText, textButton } from "../ui/dom";
import { download } from "../ui/download";
import { type View, watch } from "../ui/view";
import { text } from "./text";

const FEWEST = 2;
const MOST = 6;

/** The choice of what to compare, and the compared pictures, which are drawn in step. */
export function compareContents(view: View, comparison: ComparisonStore): HTMLElement[] {
  const { client, signal } = view;
  const { wire } = client;
  let count = 3;

  const kind = el(
    "select",
    { class: "peek-select", "aria-label": text.compareWhat },
    ...Object.entries(text.compareKinds).map(([value, words]) => el("option", { value }, words)),
  );
  const boxes = el("div", { class: "peek-choices", role: "group", "aria-label": text.compareRecipes });
  const number = numberBox(
    text.compareCount,
    (value) => {
      count = clamp(value, FEWEST, MOST);
      update();
    },
    signal,
  );
  const what = (): CompareKind => kind.value as CompareKind;
  const draw = textButton("", () => comparison.draw(what(), values()), signal);
  draw.classList.add("peek-strong");
  const save = (): void => void client.exports.request("figure").then((file) => setText(line, download(file, signal)));
  const title = el("span", { class: "peek-spring" });
  const line = el("p", { class: "peek-help", role: "status" });
  const problem = el("p", { class: "peek-error", role: "alert" });
  const grid = el("div", { class: "peek-compared" });
  const tiles: Tile[] = [];

  const chosen = (): string[] => [...boxes.querySelectorAll<HTMLInputElement>(":checked")].map((box) => box.value);
  /** Recipes as chosen; seeds or units from the current one on, or the last ones there are. */
  const values = (): (string | number)[] => {
    if (what() === "recipes") return chosen();
    const layer = wire.get("_layer_list")?.find((one) => one.name === wire.get("layer"));
    const end = what() === "seeds" ? LARGEST_SEED : (layer?.channels ?? 1) - 1;
    const first = Math.max(0, Math.min(wire.get(what() === "seeds" ? "seed" : "unit"), end - count + 1));
    return Array.from({ length: Math.min(count, end + 1) }, (_, at) => first + at);
  };
  /** Before the first comparison: what it shows, and the pictures that there would be. */
  const about = el("p", { class: "peek-help" });
  const places = el("div", { class: "peek-compared", "aria-hidden": "true" });
  const intro = el("div", { class: "peek-group" }, about, places);
  const update = (): void => {
    boxes.hidden = what() !== "recipes";
    number.input.hidden = !boxes.hidden;
    number.show(count, MOST);
    const list = values();
    draw.disabled = list.length < FEWEST || list.length > MOST;
    setText(draw, draw.disabled ? text.compareChoose : text.compareDraw(list.length, text.compareKinds[what()]));
    setText(about, `${text.compareAbout[what()]} ${text.compareAll}`);
    const names = list.map((value) => text.comparePlace[what()](value));
    if (names.join("\n") === [...places.children].map((place) => place.textContent).join("\n")) return;
    places.replaceChildren(
      ...names.map((name) =>
        el("div", { class: "peek-compared-place" }, el("div", { class: "peek-thumb" }), el("span", {}, name)),
      ),
    );
  };
  kind.addEventListener("change", update, { signal });
  boxes.addEventListener("change", update, { signal });
  watch(view, ["_recipe_list"], () => {
    // At first the current recipe, our default and the article's, which differ in nearly everything.
    const on = boxes.hasChildNodes() ? chosen() : [wire.get("recipe"), "peek", "oygard-2016"];
    boxes.replaceChildren(
      ...(wire.get("_recipe_list") ?? []).map(({ name: value }) => {
        const box = el("input", { type: "checkbox", class: "peek-radio", value, checked: on.includes(value) });
        return el("label", { class: "peek-inline" }, box, value);
      }),
    );
    update();
  });
  watch(view, ["seed", "unit", "layer", "_layer_list"], update);

  const shown = el(
    "div",
    { class: "peek-group" },
    el(
      "div",
      { class: "peek-inline" },
      title,
      textButton(text.saveFigure, save, signal, text.saveFigureHelp),
      textButton(text.compareClose, () => comparison.draw(what(), []), signal),
    ),
    problem,
    grid,
    line,
  );
  watch(view, ["compared"], () => {
    const { set, pictures } = comparison;
    const state = set?.state ?? "";
    shown.hidden = !state;
    intro.hidden = !shown.hidden;
    setText(title, set?.title ?? "");
    setText(line, set?.text ?? "");
    problem.hidden = !set?.problem;
    setText(problem, set?.problem ?? "");
    for (const _ of set?.items.slice(tiles.length) ?? []) {
      const made = tile(view);
      tiles.push(made);
      grid.append(made.element);
    }
    tiles.forEach((each, at) => each.show(set?.items[at], pictures[at] ?? null));
    grid.style.setProperty("--count", String(set?.items.length ?? 0));
  });
  return [el("div", { class: "peek-choices" }, kind, boxes, number.input, draw), intro, shown];
}

interface Tile {
  element: HTMLElement;
  show(item: ComparisonSet["items"][number] | undefined, picture: ImageBitmap | null): void;
}

/** A picture with its activation on the common scale; a click opens it in the explorer. */
function tile({ client, signal }: View): Tile {
  const canvas = el("canvas", { class: "peek-thumb" });
  const caption = el("span", { class: "peek-tile-label" });
  const number = el("span");
  const bar = el("span", { class: "peek-compared-bar" });
  const note = el("span", { class: "peek-help" });
  const element = el("button", { type: "button", class: "peek-tile" }, canvas, number, caption, bar, note);
  let controls: ControlValues = {};
  element.addEventListener(
    "click",
    () => {
      client.wire.edit(controls);
      client.connection.expectReply();
    },
    { signal },
  );
  return {
    element,
    show(item, picture) {
      element.hidden = !item;
      if (picture) {
        canvas.width = picture.width;
        canvas.height = picture.height;
        canvas.getContext("2d")?.drawImage(picture, 0, 0);
      }
      if (!item) return;
      controls = item.controls;
      element.disabled = Object.keys(controls).length === 0;
      element.title = element.disabled ? "" : text.open(item.caption);
      setText(caption, item.caption);
      setText(number, item.activation === null ? "" : formatNumber(item.activation));
      setText(note, item.note);
      const [low, high] = item.bar;
      const negative = (item.activation ?? 0) < 0;
      bar.style.setProperty("--at", `${negative ? low : high}%`);
      bar.style.setProperty("--zero", `${negative ? high : low}%`);
    },
  };
}
