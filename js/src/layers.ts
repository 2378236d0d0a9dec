import type { WidgetClient } from "./client";
import { clamp } from "./numbers";
import type { LayerInfo } from "./protocol.gen";
import { text } from "./text";

/** The selected layer. */
export function currentLayer(client: WidgetClient): LayerInfo | undefined {
  const name = client.wire.get("layer");
  return (client.wire.get("_layer_list") ?? []).find((layer) => layer.name === name);
}

/** The name of the class that a unit is the logit of; null where the units of the layer are no classes. */
export function className(layer: LayerInfo | undefined, names: readonly string[], unit: number): string | null {
  return layer?.named ? (names[unit] ?? null) : null;
}

export function currentClass(client: WidgetClient): string | null {
  const { wire } = client;
  return className(currentLayer(client), wire.get("class_names") ?? [], wire.get("unit"));
}

/** The unit, layer and class in words. */
export function describeUnit(client: WidgetClient): string {
  const { wire } = client;
  const channels = currentLayer(client)?.channels ?? 0;
  return text.unitSpoken(wire.get("unit"), channels, text.layerName(wire.get("layer")), currentClass(client));
}

/** Selects a layer, with layer and unit in one edit: a unit that the new layer lacks must never reach the kernel. */
export function chooseLayer(client: WidgetClient, layer: LayerInfo | undefined, unit = client.wire.get("unit")): void {
  if (!layer || layer.name === client.wire.get("layer")) return;
  const { wire } = client;
  const now = wire.get("objective");
  wire.edit({
    layer: layer.name,
    unit: clamp(unit, 0, Math.max(0, layer.channels - 1)),
    // As in Python: a position belongs to the map of its own layer.
    objective: now !== "class" && layer.objectives.includes(now) ? now : (layer.objectives[0] ?? now),
    at: null,
  });
  client.connection.expectReply();
}

/** Selects a unit of the current layer. */
export function chooseUnit(client: WidgetClient, unit: number): void {
  const channels = currentLayer(client)?.channels ?? 1;
  const chosen = clamp(unit, 0, channels - 1);
  if (chosen === client.wire.get("unit")) return;
  client.wire.edit({ unit: chosen });
  client.connection.expectReply();
}

/** A random number below `count` that is not the current one: a click that changes nothing looks broken. */
export function randomOther(count: number, current: number): number {
  if (count < 2) return 0;
  const drawn = Math.floor(Math.random() * (count - 1));
  return drawn >= current ? drawn + 1 : drawn;
}
