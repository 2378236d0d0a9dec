import {
  chooseLayer,
  chooseUnit,
  currentClass,
  currentLayer,
  describeLayer,
  describeUnit,
  randomOther,
} from "../layers";
import type { LayerInfo } from "../protocol.gen";
import { text } from "../text";
import { numberBox, searchBox, slider } from "../ui/controls";
import { el, iconButton, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";

/** The heading: layer, unit and class name, with the facts about the layer below. */
export function headingPanel(view: View): HTMLElement {
  const { client } = view;
  const unit = el("span", { class: "peek-heading-unit" });
  const layer = el("span", { class: "peek-heading-layer" });
  const name = el("span", { class: "peek-heading-class" });
  const caption = el("p", { class: "peek-caption" });
  watch(view, ["layer", "unit", "_layer_list", "class_names"], () => {
    const { wire } = client;
    setText(layer, text.layerName(wire.get("layer")));
    setText(unit, text.unitTitle(wire.get("unit")));
    setText(name, currentClass(client) ?? "");
    name.title = name.textContent ?? "";
    name.hidden = !name.textContent;
    caption.replaceChildren(...describeLayer(currentLayer(client)).map((part) => el("span", {}, part)));
  });
  return el("header", { class: "peek-heading" }, el("h3", {}, layer, unit, name), caption);
}

/** The controls that select layer and unit. */
export function pickerPanel(view: View): HTMLElement {
  return el("div", { class: "peek-group peek-picker" }, layerRow(view), unitRow(view));
}

function layerRow(view: View): HTMLElement {
  const { client, signal } = view;
  const layers = (): readonly LayerInfo[] => client.wire.get("_layer_list") ?? [];

  const list = searchBox(text.layer, (at) => chooseLayer(client, layers()[at]), signal);
  let names: string[] = [];
  const depth = slider(text.layerSlider, (at) => chooseLayer(client, layers()[at]), signal);

  watch(view, ["_layer_list"], () => {
    names = layers().map((layer) => text.layerName(layer.name));
  });
  watch(view, ["layer", "_layer_list"], () => {
    const name = client.wire.get("layer");
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
  const { client, signal } = view;
  const unit = (): number => client.wire.get("unit");
  const box = numberBox(text.unitNumber, (value) => chooseUnit(client, value), signal);
  const range = slider(text.unitSlider, (value) => chooseUnit(client, value), signal);
  const count = el("span", { class: "peek-of" });

  const previous = iconButton("left", text.previousUnit, () => chooseUnit(client, unit() - 1), signal);
  const next = iconButton("right", text.nextUnit, () => chooseUnit(client, unit() + 1), signal);
  const random = iconButton(
    "dice",
    text.randomUnit,
    () => chooseUnit(client, randomOther(currentLayer(client)?.channels ?? 1, unit())),
    signal,
  );

  const classes = searchBox(text.className, (at) => chooseUnit(client, at), signal);
  let names: string[] = [];
  watch(view, ["class_names"], () => {
    // Two classes of ImageNet are called "crane".
    const given = client.wire.get("class_names") ?? [];
    names = given.map((name, at) => (given.indexOf(name) < at ? `${name} (${at})` : name));
  });

  watch(view, ["unit", "layer", "_layer_list", "class_names"], () => {
    const channels = currentLayer(client)?.channels ?? 0;
    classes.box.hidden = currentClass(client) === null;
    classes.show(names, unit());
    box.show(unit(), channels - 1);
    range.show({ maximum: channels - 1, value: unit(), spoken: describeUnit(client) });
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
