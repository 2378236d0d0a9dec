import { chooseLayer, chooseUnit, currentClass, currentLayer, describeUnit, randomOther } from "../layers";
import type { LayerInfo } from "../protocol.gen";
import { text } from "../text";
import { combobox, type Entry } from "../ui/combobox";
import { numberBox, slider } from "../ui/controls";
import { el, iconButton, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { nameList, unitPickerPlace } from "./lazy";

/** The controls that select layer and unit, in the bar. */
export function pickerPanel(view: View): HTMLElement {
  return el("div", { class: "peek-picker" }, layerBox(view), ...unitBoxes(view));
}

const layersOf = ({ client }: View): readonly LayerInfo[] => client.wire.get("_layer_list") ?? [];

function layerBox(view: View): HTMLElement {
  const { client, signal } = view;
  const list = combobox(
    text.layer,
    (at) => chooseLayer(client, layersOf(view)[at]),
    () => nameList(view),
    signal,
  );
  let entries: Entry[] = [];
  watch(view, ["_layer_list"], () => {
    entries = layersOf(view).map((layer) => ({ name: text.layerName(layer.name), detail: text.layerFacts(layer) }));
  });
  watch(view, ["layer", "_layer_list"], () => {
    const name = client.wire.get("layer");
    list.show(
      entries,
      layersOf(view).findIndex((layer) => layer.name === name),
    );
  });
  list.box.classList.add("peek-layer-box");
  return list.box;
}

function unitBoxes(view: View): HTMLElement[] {
  const { client, signal } = view;
  const unit = (): number => client.wire.get("unit");
  const box = numberBox(text.unitNumber, (value) => chooseUnit(client, value), signal);
  const count = el("span", { class: "peek-of" });
  const previous = iconButton("left", text.previousUnit, () => chooseUnit(client, unit() - 1), signal);
  const next = iconButton("right", text.nextUnit, () => chooseUnit(client, unit() + 1), signal);
  const random = iconButton(
    "dice",
    text.randomUnit,
    () => chooseUnit(client, randomOther(currentLayer(client)?.channels ?? 1, unit())),
    signal,
  );
  const classes = combobox(
    text.className,
    (at) => chooseUnit(client, at),
    () => nameList(view),
    signal,
  );
  classes.box.classList.add("peek-class-box");
  let names: Entry[] = [];
  watch(view, ["class_names"], () => {
    // Two classes of ImageNet are called "crane".
    const given = client.wire.get("class_names") ?? [];
    names = given.map((name, at) => ({ name: given.indexOf(name) < at ? `${name} (${at})` : name, detail: "" }));
  });
  watch(view, ["unit", "layer", "_layer_list", "class_names"], () => {
    const channels = currentLayer(client)?.channels ?? 0;
    classes.box.hidden = currentClass(client) === null;
    classes.show(names, unit());
    box.show(unit(), channels - 1);
    setText(count, text.unitOf(channels));
    previous.disabled = unit() <= 0;
    next.disabled = unit() >= channels - 1;
    random.disabled = channels < 2;
  });
  return [
    el("div", { class: "peek-inline peek-unit-box" }, previous, box.input, count, next, random, unitPickerPlace(view)),
    classes.box,
  ];
}

/** The sliders through the layers and through the units of one, in the rail. */
export function slidersPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const depth = slider(text.layerSlider, (at) => chooseLayer(client, layersOf(view)[at]), signal);
  const range = slider(text.unitSlider, (value) => chooseUnit(client, value), signal);
  watch(view, ["layer", "_layer_list"], () => {
    const name = client.wire.get("layer");
    const at = layersOf(view).findIndex((layer) => layer.name === name);
    depth.show({
      maximum: layersOf(view).length - 1,
      value: Math.max(0, at),
      spoken: text.layerSpoken(text.layerName(name), at + 1, layersOf(view).length),
    });
  });
  watch(view, ["unit", "layer", "_layer_list", "class_names"], () => {
    const channels = currentLayer(client)?.channels ?? 0;
    range.show({ maximum: channels - 1, value: client.wire.get("unit"), spoken: describeUnit(client) });
  });
  const row = (label: string, input: HTMLElement): HTMLElement =>
    el("div", { class: "peek-slider-row" }, el("span", { class: "peek-name" }, label), input);
  return el("div", { class: "peek-sliders" }, row(text.layer, depth.input), row(text.unit, range.input));
}
