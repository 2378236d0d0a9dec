import type { WidgetClient } from "../client";
import { formatNumber } from "../numbers";
import type { Box, CropInfo } from "../protocol.gen";
import type { CropView, OpenedCrop } from "../stores/crops";
import { text as shared } from "../text";
import { el, iconButton, setText, textButton } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { text } from "./text";

const TILES = 9;

/** The dataset examples of the unit. */
export function examplesContents(view: View): HTMLElement[] {
  return [examplesPanel(view)];
}

/** The dataset examples of the unit, as a grid or with one of them large. */
function examplesPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const { crops } = client;
  const line = el("span", { class: "peek-pass" });
  const go = textButton("", () => crops.runPass(go.dataset.on !== "true"), signal);
  const problem = el("p", { class: "peek-error", role: "status", tabindex: 0 });
  const grid = cropGrid(view);
  const large = largeCrop(view);
  let before = 0;
  const panel = el(
    "section",
    { class: "peek-examples", "aria-label": shared.examples },
    el(
      "div",
      { class: "peek-inline peek-examples-head" },
      el("span", { class: "peek-label" }, shared.examples),
      el("div", { class: "peek-inline peek-examples-choices" }, ...choices(view)),
    ),
    grid.element,
    large.element,
    el("div", { class: "peek-inline peek-pass-row" }, line, go),
    problem,
  );
  watch(view, ["evidence_status"], () => {
    const { state, text: words = "", problem: wrong = "" } = client.wire.get("evidence_status") ?? {};
    panel.hidden = !state;
    setText(line, words);
    const on = state === "running" || state === "waiting";
    go.dataset.on = String(on);
    setText(go, on ? text.stopPass : text.resumePass);
    go.hidden = !(on || state === "stopped" || (state === "error" && words !== ""));
    problem.hidden = !wrong;
    if (wrong) setText(problem, wrong);
  });
  watch(view, ["large"], () => {
    // The focus follows, for keyboard users; read first, because hiding an element takes the focus away.
    const focused = shadowActive(panel);
    const [inGrid, inLarge] = [grid.element, large.element].map((part) => part.contains(focused));
    grid.element.hidden = crops.opened !== 0;
    large.element.hidden = crops.opened === 0;
    if (before && !crops.opened && inLarge) grid.focus(before);
    if (!before && crops.opened && inGrid) large.focus();
    before = crops.opened;
  });
  return panel;
}

/** Two groups of toggle buttons: top or bottom; full image, receptive field or its focus. */
function choices(view: View): HTMLElement[] {
  const { crops } = view.client;
  const bottom = (): boolean => crops.set?.bottom ?? false;
  const shown = (): CropView => crops.set?.view ?? "whole";
  const display = (view: CropView, name: string, help: string): [string, string, () => boolean, () => void] => [
    name,
    help,
    () => shown() === view,
    () => crops.setView(bottom(), view),
  ];
  const pair = (label: string, ...entries: [string, string, () => boolean, () => void][]): HTMLElement =>
    el(
      "div",
      { class: "peek-pair", role: "group", "aria-label": label },
      ...entries.map(([name, help, on, choose]) => {
        const button = textButton(name, choose, view.signal, help);
        watch(view, ["crops"], () => button.setAttribute("aria-pressed", String(on())));
        return button;
      }),
    );
  return [
    pair(
      text.topOrBottom,
      [text.top, text.topHelp, () => !bottom(), () => crops.setView(false, shown())],
      [text.bottom, text.bottomHelp, bottom, () => crops.setView(true, shown())],
    ),
    pair(
      text.fullOrCut,
      display("whole", text.full, text.fullHelp),
      display("field", text.cut, text.cutHelp),
      display("focus", text.focus, text.focusHelp),
    ),
  ];
}

/** The focused element, inside a shadow root too. */
function shadowActive(element: Element): Element | null {
  return (element.getRootNode() as Document | ShadowRoot).activeElement;
}

interface Grid {
  element: HTMLElement;
  /** Focuses the tile of a crop. */
  focus(id: number): void;
}

/** The crops if they belong to the current unit; those of another unit are about to be replaced. */
function current(client: WidgetClient): readonly CropInfo[] {
  const { set } = client.crops;
  const own = set && set.layer === client.wire.get("layer") && set.unit === client.wire.get("unit");
  return own ? set.crops : [];
}

function cropGrid(view: View): Grid {
  const { client, signal } = view;
  const { crops } = client;
  const tiles = Array.from({ length: TILES }, () => {
    const shot = picture("peek-thumb");
    const number = el("span", { class: "peek-crop-activation" });
    const label = el("span", { class: "peek-crop-label" });
    const button = el("button", { type: "button", class: "peek-crop" }, shot.element, number, " ", label);
    return { button, shot, number, label, id: 0 };
  });
  for (const tile of tiles) tile.button.addEventListener("click", () => tile.id && crops.open(tile.id), { signal });
  const element = el("div", { class: "peek-crops" }, ...tiles.map((tile) => tile.button));
  watch(view, ["crops", "layer", "unit"], () => {
    const rows = current(client);
    tiles.forEach((tile, at) => {
      const crop = rows[at];
      tile.id = crop?.id ?? 0;
      tile.button.disabled = !crop;
      tile.button.classList.toggle("peek-crop-empty", !crop);
      const label = crop?.label || crop?.name || "";
      const activation = crop ? formatNumber(crop.activation) : "";
      setText(tile.number, activation);
      setText(tile.label, label);
      tile.button.title = crop
        ? [crop.name, crop.problem, crop.clipped ? text.clipped : ""].filter(Boolean).join("\n")
        : "";
      tile.button.setAttribute("aria-label", crop ? text.cropSpoken(at + 1, label, activation) : text.noExamples);
      tile.shot.show(
        crop ? (crops.pictures.get(crop.key) ?? null) : null,
        crop && crops.set?.view === "whole" ? crop.box : null,
      );
    });
  });
  return {
    element,
    focus: (id) => tiles.find((tile) => tile.id === id)?.button.focus(),
  };
}

interface Picture {
  element: HTMLElement;
  show(bitmap: ImageBitmap | null, box: Box | null, spot?: OpenedCrop | null): void;
}

/** A picture fitted into a square, with the receptive field outlined and a mask that is clear where activation is high. */
function picture(kind: string): Picture {
  const canvas = el("canvas", { class: "peek-shot-picture" });
  const mask = el("canvas", { class: "peek-shot-mask" });
  const outline = el("span", { class: "peek-shot-outline" });
  const inner = el("span", { class: "peek-shot" }, canvas, mask, outline);
  let drawn: ImageBitmap | null = null;
  let masked: unknown = null;
  return {
    element: el("span", { class: kind }, inner),
    show(bitmap, box, spot = null) {
      inner.hidden = !bitmap;
      mask.hidden = !spot?.levels;
      outline.hidden = !box || (box[2] - box[0] > 0.995 && box[3] - box[1] > 0.995);
      if (box) setBox(outline, box);
      if (spot?.levels) setBox(mask, spot.area);
      if (spot?.levels && spot.levels !== masked) paintMask(mask, spot);
      masked = spot?.levels ?? null;
      if (bitmap === drawn) return;
      drawn = bitmap;
      if (!bitmap) return;
      const { width, height } = bitmap;
      canvas.width = width;
      canvas.height = height;
      inner.style.width = `${100 * Math.min(1, width / height)}%`;
      inner.style.height = `${100 * Math.min(1, height / width)}%`;
      canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    },
  };
}

/** Positions an element by shares of its parent's size. */
function setBox(element: HTMLElement, [left, top, right, bottom]: Box): void {
  const percent = (share: number): string => `${(100 * share).toFixed(2)}%`;
  Object.assign(element.style, {
    left: percent(left),
    top: percent(top),
    width: percent(right - left),
    height: percent(bottom - top),
  });
}

/** Paints one pixel for each position of the map; the browser interpolates between them. */
function paintMask(mask: HTMLCanvasElement, { map, levels }: OpenedCrop): void {
  const [height = 0, width = 0] = map;
  const context = mask.getContext("2d");
  if (!levels || !context || width * height === 0 || levels.length < width * height) return;
  mask.width = width;
  mask.height = height;
  const pixels = context.createImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    pixels.data[4 * at + 3] = MAX_OPACITY * (1 - ((levels[at] ?? 0) / 255) ** GAMMA);
  }
  context.putImageData(pixels, 0, 0);
}

/** The mask's opacity (of 255) where the activation is zero or less, and its curve in between. */
const MAX_OPACITY = 190;
const GAMMA = 0.7;

function largeCrop(view: View): { element: HTMLElement; focus(): void } {
  const { client, signal } = view;
  const { crops } = client;
  let masked = true;
  const shot = picture("peek-large-picture");
  const name = el("p", { class: "peek-large-name" });
  const number = el("p", { class: "peek-large-activation" });
  const note = el("p", { class: "peek-help" });
  const close = (): void => crops.open(0);
  const move = (by: number): void => {
    const rows = current(client);
    const at = rows.findIndex((crop) => crop.id === crops.opened);
    const next = rows[(at + by + rows.length) % rows.length];
    if (next) crops.open(next.id);
  };
  const back = textButton(text.back, close, signal);
  const map = textButton(
    text.map,
    () => {
      masked = !masked;
      update();
    },
    signal,
    text.mapHelp,
  );
  const start = textButton(text.startFrom, () => crops.startFrom(crops.opened), signal, text.startFromHelp);
  start.classList.add("peek-strong");
  const element = el(
    "div",
    { class: "peek-large" },
    shot.element,
    el("div", { class: "peek-inline peek-large-words" }, el("div", {}, name, note), number),
    el(
      "div",
      { class: "peek-inline peek-large-buttons" },
      back,
      map,
      iconButton("left", text.previousCrop, () => move(-1), signal),
      iconButton("right", text.nextCrop, () => move(1), signal),
      el("span", { class: "peek-spring" }),
      start,
    ),
  );
  element.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Escape") close();
      else if (event.key === "ArrowLeft") move(-1);
      else if (event.key === "ArrowRight") move(1);
      else return;
      event.preventDefault();
    },
    { signal },
  );

  const update = (): void => {
    const { large, opened } = crops;
    if (!opened) {
      shot.show(null, null);
      return;
    }
    const info = current(client).find((crop) => crop.id === opened);
    const shown = large ?? info;
    // The thumbnail stands in until the large picture arrives.
    const standIn = info && crops.set?.view === "whole" ? (crops.pictures.get(info.key) ?? null) : null;
    shot.show(large?.picture ?? standIn, shown?.box ?? null, masked ? large : null);
    setText(name, [shown?.label, shown?.name].filter(Boolean).join(" · "));
    setText(number, shown ? formatNumber(shown.activation) : "");
    const hasMap = Boolean(large?.levels);
    setText(note, large?.problem || (large && !hasMap ? text.noMap : text.mapHelp));
    map.disabled = !hasMap;
    map.setAttribute("aria-pressed", String(masked && hasMap));
  };
  watch(view, ["large", "crops"], update);
  return { element, focus: () => back.focus({ preventScroll: true }) };
}
