import { currentLayer } from "../layers";
import { clamp, formatSize, readSize } from "../numbers";
import { type ControlValues, LARGEST_SIZE, MOST_SEEDS, type ObjectiveKind, SMALLEST_SIZE } from "../protocol.gen";
import { text as shared } from "../text";
import { el, iconButton, setProperty, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { text } from "./text";

type Pair = readonly [number, number];

/** The center of a map; of an even side's two middle positions the first, as in Python. */
export function centerOf([rows, columns]: Pair): Pair {
  return [Math.floor((rows - 1) / 2), Math.floor((columns - 1) / 2)];
}

/** The controls of the objective (kind, sign, position), the image size and the device. */
export function objectivePanel(view: View): HTMLElement {
  const { client, signal } = view;
  const { wire } = client;
  const edit = (values: ControlValues): void => {
    wire.edit(values);
    client.connection.expectReply();
  };
  const mapSize = (): Pair => {
    const [rows, columns] = currentLayer(client)?.size ?? [];
    return [rows ?? 1, columns ?? 1];
  };
  const position = (): Pair => wire.get("at") ?? centerOf(mapSize());
  const listen = (element: HTMLElement, event: string, act: (event: Event) => void): void =>
    element.addEventListener(event, act, { signal });

  const kind = el("select", { class: "peek-select", "aria-label": shared.objective });
  listen(kind, "change", () => edit({ objective: kind.value as ObjectiveKind }));
  const negative = el("input", { type: "checkbox" });
  listen(negative, "change", () => edit({ negative: negative.checked }));

  const mark = el("span", {});
  const map = el("div", { class: "peek-map", tabindex: 0, role: "slider", "aria-label": text.featureMap }, mark);
  const moveTo = (row: number, column: number): void => {
    const [rows, columns] = mapSize();
    edit({ at: [clamp(row, 0, rows - 1), clamp(column, 0, columns - 1)] });
  };
  listen(map, "click", (event) => {
    const { left, top, width, height } = map.getBoundingClientRect();
    const { clientX, clientY } = event as MouseEvent;
    const [rows, columns] = mapSize();
    moveTo(Math.floor((rows * (clientY - top)) / height), Math.floor((columns * (clientX - left)) / width));
  });
  listen(map, "keydown", (event) => {
    const { key } = event as KeyboardEvent;
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key] ?? [];
    if (down === undefined || right === undefined) return;
    event.preventDefault();
    const [row, column] = position();
    moveTo(row + down, column + right);
  });
  const where = el("span", { class: "peek-help" });
  const middle = iconButton("undo", text.center, () => edit({ at: null }), signal);
  const mapRow = el("div", { class: "peek-inline" }, map, where, middle);

  const size = el("input", {
    class: "peek-number",
    "aria-label": text.sizeBox,
  });
  listen(size, "change", () => edit({ size: readSize(size.value, SMALLEST_SIZE, LARGEST_SIZE) }));
  const device = el("select", { class: "peek-select", "aria-label": text.aboutDevice });
  listen(device, "change", () => edit({ device: device.value }));

  watch(view, ["layer", "_layer_list", "objective", "at", "negative"], () => {
    const now = wire.get("objective");
    const possible = currentLayer(client)?.objectives ?? [];
    // An Objective given in Python stays until another is chosen.
    const kinds = now === "custom" ? [...possible, now] : possible;
    kind.replaceChildren(...kinds.map((each) => el("option", { value: each }, text.kinds[each])));
    kind.value = now;
    kind.disabled = kinds.length < 2;
    negative.checked = wire.get("negative");
    const shape = mapSize();
    const [row, column] = position();
    const [rows, columns] = shape;
    mapRow.hidden = now !== "neuron" || rows * columns < 2;
    middle.disabled = wire.get("at") === null;
    map.style.aspectRatio = `${columns} / ${rows}`;
    mark.style.cssText =
      `left:${(100 * column) / columns}%;top:${(100 * row) / rows}%;` +
      `width:max(4px,${100 / columns}%);height:max(4px,${100 / rows}%)`;
    map.setAttribute("aria-valuemax", String(rows * columns - 1));
    map.setAttribute("aria-valuenow", String(row * columns + column));
    map.setAttribute("aria-valuetext", text.position([row, column], shape));
    setText(where, text.position([row, column], shape));
  });
  watch(view, ["size", "status"], () => {
    setProperty(size, "placeholder", formatSize(client.status.size));
    const root = size.getRootNode() as Document | ShadowRoot;
    if (root.activeElement !== size) setProperty(size, "value", formatSize(wire.get("size")));
  });
  const seeds = el("select", { class: "peek-select", "aria-label": text.seedsAtOnce, title: text.seedsHelp });
  listen(seeds, "change", () => edit({ seeds_at_once: seeds.value === "" ? null : Number(seeds.value) }));
  const numbers = Array.from({ length: MOST_SEEDS }, (_, at) => el("option", { value: at + 1 }, String(at + 1)));
  const auto = el("option", { value: "" });
  seeds.replaceChildren(auto, ...numbers);

  watch(view, ["seeds_at_once", "seeds", "status"], () => {
    const asked = wire.get("seeds_at_once");
    seeds.value = asked === null ? "" : String(asked);
    setText(auto, text.seedsAuto(asked === null ? Math.max(1, client.seeds.seeds.length) : 0));
  });
  watch(view, ["_about", "device"], () => {
    const devices = wire.get("_about")?.devices ?? [];
    device.replaceChildren(...devices.map((each) => el("option", {}, each)));
    device.value = wire.get("device");
    device.hidden = devices.length < 2;
  });
  const label = (words: string): HTMLElement => el("span", { class: "peek-label" }, words);
  return el(
    "div",
    { class: "peek-row" },
    label(shared.objective),
    el(
      "div",
      { class: "peek-inline" },
      kind,
      el("label", { class: "peek-inline", title: text.negativeHelp }, negative, text.negative),
    ),
    mapRow,
    el(
      "div",
      { class: "peek-inline peek-choices" },
      label(text.sizeLabel),
      size,
      device,
      label(text.seedsAtOnce),
      seeds,
    ),
  );
}
