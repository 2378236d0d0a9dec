import { currentClass, currentLayer } from "../layers";
import type { LayerInfo } from "../protocol.gen";
import { text as shared } from "../text";
import { el, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { footerPanel } from "./footer";
import { objectivePanel } from "./objective";
import { text } from "./text";

/** What is set once and read now and then: facts about unit and layer, the objective, the recipe's source, the model. */
export function detailsContents(view: View): HTMLElement[] {
  const panels = [headingPanel(view), objectivePanel(view), recipeSummary(view), footerPanel(view)];
  return [el("div", { class: "peek-details" }, ...panels)];
}

/** The heading: layer, unit and class name, with the facts about the layer below. */
function headingPanel(view: View): HTMLElement {
  const { client } = view;
  const unit = el("span", { class: "peek-heading-unit" });
  const layer = el("span", { class: "peek-heading-layer" });
  const name = el("span", { class: "peek-heading-class" });
  const caption = el("p", { class: "peek-caption" });
  watch(view, ["layer", "unit", "_layer_list", "class_names"], () => {
    const { wire } = client;
    setText(layer, shared.layerName(wire.get("layer")));
    setText(unit, text.unitTitle(wire.get("unit")));
    setText(name, currentClass(client) ?? "");
    name.title = name.textContent ?? "";
    name.hidden = !name.textContent;
    caption.replaceChildren(...describeLayer(currentLayer(client)).map((part) => el("span", {}, part)));
  });
  const row = (label: string, ...content: HTMLElement[]): HTMLElement =>
    el("div", { class: "peek-row" }, el("span", { class: "peek-label" }, label), ...content);
  return el(
    "header",
    { class: "peek-heading" },
    row(shared.unit, el("h3", {}, unit, name)),
    row(shared.layer, layer, caption),
  );
}

/** What the current recipe does, and who published it. */
function recipeSummary(view: View): HTMLElement {
  const { wire } = view.client;
  const summary = el("p", { class: "peek-recipe-summary" });
  const source = el("p", { class: "peek-help" });
  watch(view, ["_recipe_list", "recipe"], () => {
    const chosen = (wire.get("_recipe_list") ?? []).find((row) => row.name === wire.get("recipe"));
    setText(summary, chosen?.summary ?? "");
    setText(source, chosen?.source ? text.recipeSource(chosen.source) : "");
  });
  return el("div", { class: "peek-row" }, el("span", { class: "peek-label" }, shared.recipe), summary, source);
}

/** The facts about a layer that one needs to read its pictures: its units, feature map and receptive field. */
export function describeLayer(layer: LayerInfo | undefined): string[] {
  if (!layer) return [];
  const map = text.mapSize(layer.size ?? []);
  return [
    layer.kind,
    text.channels(layer.channels),
    map,
    text.receptiveField(layer.receptive_field),
    // A vector has one position, so no stride.
    map && text.stride(layer.stride),
    layer.rectified ? text.rectified : null,
  ].filter((part) => part !== null);
}
