import type { Session } from "../client";
import type { LayerInfo } from "../protocol";
import { text } from "../text";
import { clamp, numberBox, searchBox, slider } from "../ui/controls";
import { el, iconButton, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";

export function currentLayer(session: Session): LayerInfo | undefined {
  const name = session.wire.get("layer");
  return (session.wire.get("_layer_list") ?? []).find((layer) => layer.name === name);
}

/**
 * The class a unit stands for, if it stands for one. Class names belong to the logits: the last layers of
 * the list, for as long as they have as many channels as there are names.
 */
export function className(
  layers: readonly LayerInfo[],
  names: readonly string[],
  layer: string,
  unit: number,
): string | null {
  for (let at = layers.length - 1; at >= 0 && layers[at]?.channels === names.length; at -= 1) {
    if (layers[at]?.name === layer) return names[unit] ?? null;
  }
  return null;
}

function currentClass(session: Session): string | null {
  const { wire } = session;
  return className(wire.get("_layer_list") ?? [], wire.get("class_names") ?? [], wire.get("layer"), wire.get("unit"));
}

export function describeUnit(session: Session): string {
  const { wire } = session;
  const channels = currentLayer(session)?.channels ?? 0;
  return text.unitSpoken(wire.get("unit"), channels, text.layerName(wire.get("layer")), currentClass(session));
}

/** What one must know of a layer to read its pictures: how many units, how much of the image each sees. */
export function describeLayer(layer: LayerInfo | undefined): string[] {
  if (!layer) return [];
  const map = text.mapSize(layer.size ?? []);
  return [
    layer.kind,
    text.channels(layer.channels),
    map,
    text.receptiveField(layer.receptive_field),
    // A vector has one place, and no distance to a next one.
    map && text.stride(layer.stride),
    layer.rectified ? text.rectified : null,
  ].filter((part) => part !== null);
}

/** Layer and unit in one edit: a unit that the new layer lacks must never reach the kernel. */
export function chooseLayer(session: Session, layer: LayerInfo | undefined): void {
  if (!layer || layer.name === session.wire.get("layer")) return;
  const { wire } = session;
  const now = wire.get("objective");
  wire.edit({
    layer: layer.name,
    unit: clamp(wire.get("unit"), 0, Math.max(0, layer.channels - 1)),
    // As Python has it: a place is a place of its own map.
    objective: now !== "class" && layer.objectives.includes(now) ? now : (layer.objectives[0] ?? now),
    at: null,
  });
  session.attention.expectReply();
}

export function chooseUnit(session: Session, unit: number): void {
  const channels = currentLayer(session)?.channels ?? 1;
  const chosen = clamp(unit, 0, channels - 1);
  if (chosen === session.wire.get("unit")) return;
  session.wire.edit({ unit: chosen });
  session.attention.expectReply();
}

/** The heading: which unit of which layer, and the class if it is one. */
export function headingPanel(view: View): HTMLElement {
  const { session } = view;
  const unit = el("span", { class: "peek-heading-unit" });
  const layer = el("span", { class: "peek-heading-layer" });
  const name = el("span", { class: "peek-heading-class" });
  const caption = el("p", { class: "peek-caption" });
  watch(view, ["layer", "unit", "_layer_list", "class_names"], () => {
    const { wire } = session;
    setText(layer, text.layerName(wire.get("layer")));
    setText(unit, text.unitTitle(wire.get("unit")));
    setText(name, currentClass(session) ?? "");
    name.title = name.textContent ?? "";
    name.hidden = !name.textContent;
    caption.replaceChildren(...describeLayer(currentLayer(session)).map((part) => el("span", {}, part)));
  });
  return el("header", { class: "peek-heading" }, el("h3", {}, layer, unit, name), caption);
}

export function pickerPanel(view: View): HTMLElement {
  return el("div", { class: "peek-group peek-picker" }, layerRow(view), unitRow(view));
}

function layerRow(view: View): HTMLElement {
  const { session, signal } = view;
  const layers = (): LayerInfo[] => session.wire.get("_layer_list") ?? [];

  const list = searchBox(text.layer, (at) => chooseLayer(session, layers()[at]), signal);
  let names: string[] = [];
  const depth = slider(text.layerSlider, (at) => chooseLayer(session, layers()[at]), signal);

  watch(view, ["_layer_list"], () => {
    names = layers().map((layer) => text.layerName(layer.name));
  });
  watch(view, ["layer", "_layer_list"], () => {
    const name = session.wire.get("layer");
    const at = layers().findIndex((layer) => layer.name === name);
    list.show(names, at);
    depth.show({
      maximum: layers().length - 1,
      value: Math.max(0, at),
      spoken: text.layerSpoken(text.layerName(name), at + 1, layers().length),
    });
  });
  return el("div", { class: "peek-row" }, el("span", { class: "peek-label" }, text.layer), list.box, depth.input);
}

function unitRow(view: View): HTMLElement {
  const { session, signal } = view;
  const unit = (): number => session.wire.get("unit");
  const box = numberBox(text.unitNumber, (value) => chooseUnit(session, value), signal);
  const range = slider(text.unitSlider, (value) => chooseUnit(session, value), signal);
  const count = el("span", { class: "peek-of" });

  const previous = iconButton("left", text.previousUnit, () => chooseUnit(session, unit() - 1), signal);
  const next = iconButton("right", text.nextUnit, () => chooseUnit(session, unit() + 1), signal);
  const random = iconButton(
    "dice",
    text.randomUnit,
    () => chooseUnit(session, anotherOf(currentLayer(session)?.channels ?? 1, unit())),
    signal,
  );

  const classes = searchBox(text.className, (at) => chooseUnit(session, at), signal);
  let names: string[] = [];
  watch(view, ["class_names"], () => {
    // Two classes of ImageNet are called "crane".
    const given = session.wire.get("class_names") ?? [];
    names = given.map((name, at) => (given.indexOf(name) < at ? `${name} (${at})` : name));
  });

  watch(view, ["unit", "layer", "_layer_list", "class_names"], () => {
    const channels = currentLayer(session)?.channels ?? 0;
    classes.box.hidden = currentClass(session) === null;
    classes.show(names, unit());
    box.show(unit(), channels - 1);
    range.show({ maximum: channels - 1, value: unit(), spoken: describeUnit(session) });
    setText(count, text.unitOf(channels));
    previous.disabled = unit() <= 0;
    next.disabled = unit() >= channels - 1;
    random.disabled = channels < 2;
  });
  return el(
    "div",
    { class: "peek-row" },
    el("span", { class: "peek-label" }, text.unit),
    el("div", { class: "peek-inline" }, box.input, count, el("span", { class: "peek-spring" }), previous, next, random),
    classes.box,
    range.input,
  );
}

/** A number below `count` by chance, never the one there is: a click that changes nothing looks broken. */
export function anotherOf(count: number, current: number): number {
  if (count < 2) return 0;
  const drawn = Math.floor(Math.random() * (count - 1));
  return drawn >= current ? drawn + 1 : drawn;
}
