import { chooseLayer } from "../layers";
import { formatNumber } from "../numbers";
import type { PhotoUnit } from "../protocol.gen";
import { type PhotoStore, pictureKey } from "../stores/photo";
import { text as shared } from "../text";
import { el, setText, textButton } from "../ui/dom";
import { shorten } from "../ui/tree";
import type { View } from "../ui/view";
import { layMap } from "./photo-canvas";
import { text } from "./text";

/** Width in pixels of a small picture of the photo, for a sharp screen. */
const SMALL = 144;

export interface UnitList {
  element: HTMLElement;
  /** The map of the unit that is pointed at; undefined while none is. */
  pointed(): ImageBitmap | null | undefined;
  /** Lists anew what was seen, and fills in pictures that have come. */
  update(): void;
}

/** The units that fire unusually: those of the layer, a row each, or the first of all layers. */
export function unitList({ client, signal }: View, photo: PhotoStore, changed: () => void): UnitList {
  let all = false;
  let photoOf = 0;
  /** The photo's picture, and the number of the photo that it came with. */
  let pictured: { picture: ImageBitmap | null; n: number } = { picture: null, n: 0 };
  let pointed: ImageBitmap | null | undefined;
  let listed: unknown[] = [];
  let fill: (() => void)[] = [];

  const choice = (on: boolean, label: string, help: string): HTMLButtonElement =>
    textButton(
      label,
      () => {
        if (all === on) return;
        all = on;
        photo.overview(on);
        update();
      },
      signal,
      help,
    );
  const one = choice(false, text.photoOneLayer, text.photoOneLayerHelp);
  const every = choice(true, text.photoAllLayers, text.photoAllLayersHelp);
  const title = el("h3", { class: "peek-label" });
  const basis = el("p", { class: "peek-help" });
  const head = el(
    "div",
    { class: "peek-photo-head", "aria-hidden": "true" },
    ...[text.photoWhere, text.photoDrawn, text.photoReal].map((words) => el("span", {}, words)),
  );
  const rows = el("ul", { class: "peek-photo-units", "aria-label": text.photoUnits });
  const element = el(
    "section",
    { class: "peek-photo-seen" },
    el(
      "div",
      { class: "peek-inline" },
      title,
      el("span", { class: "peek-spring" }),
      el("div", { class: "peek-pair" }, one, every),
    ),
    basis,
    head,
    rows,
  );

  const open = (layer: string, unit: number): void => {
    const { wire } = client;
    if (layer === wire.get("layer")) wire.edit({ unit });
    else
      chooseLayer(
        client,
        wire.get("_layer_list")?.find(({ name }) => name === layer),
        unit,
      );
    client.connection.expectReply();
  };
  const button = (layer: string, unit: PhotoUnit, map: ImageBitmap | null, ...inside: HTMLElement[]): HTMLElement => {
    const made = el(
      "button",
      {
        type: "button",
        class: "peek-photo-unit",
        "data-unit": unit.unit,
        "data-layer": layer,
        title: text.photoGo(unit.unit, shared.layerName(layer)),
      },
      ...inside,
    );
    const point = (to: ImageBitmap | null | undefined) => () => {
      pointed = to;
      changed();
    };
    for (const event of ["pointerenter", "focus"]) made.addEventListener(event, point(map), { signal });
    for (const event of ["pointerleave", "blur"]) made.addEventListener(event, point(undefined), { signal });
    made.addEventListener("click", () => open(layer, unit.unit), { signal });
    return made;
  };
  const mapped = (map: ImageBitmap | null): HTMLCanvasElement => {
    const canvas = el("canvas", { class: "peek-thumb" });
    const { picture } = photo;
    if (!picture) return canvas;
    // The middle of it, as the network gets it.
    const side = Math.min(picture.width, picture.height);
    const [x, y] = [(picture.width - side) / 2, (picture.height - side) / 2];
    canvas.width = canvas.height = SMALL;
    const context = canvas.getContext("2d");
    context?.drawImage(picture, x, y, side, side, 0, 0, SMALL, SMALL);
    const scale = (map?.width ?? 0) / picture.width;
    if (context && map) layMap(context, map, [x * scale, y * scale, side * scale, side * scale], SMALL, SMALL);
    return canvas;
  };
  /** A place for a picture that comes later. */
  const later = (key: string): HTMLElement => {
    const canvas = el("canvas", { class: "peek-thumb peek-photo-later" });
    let painted: unknown;
    fill.push(() => {
      const found = photo.pictures.get(key);
      if (found === undefined || found === painted) return;
      painted = found;
      canvas.classList.remove("peek-photo-later");
      if (typeof found === "string") {
        canvas.title = found;
        canvas.classList.add("peek-photo-none");
        return;
      }
      canvas.width = found.width;
      canvas.height = found.height;
      canvas.getContext("2d")?.drawImage(found, 0, 0);
    });
    return canvas;
  };
  const row = (layer: string, unit: PhotoUnit, map: ImageBitmap | null): HTMLElement =>
    el(
      "li",
      {},
      button(
        layer,
        unit,
        map,
        mapped(map),
        later(pictureKey(layer, unit.unit, "drawn")),
        ...(client.hasDataset ? [later(pictureKey(layer, unit.unit, "crop"))] : []),
        el(
          "span",
          { class: "peek-photo-words" },
          el("span", {}, el("b", {}, text.photoUnit(unit.unit)), ` ${text.photoPercent(unit.percentile)}`),
          el("span", { class: "peek-of" }, `${shared.activation.toLowerCase()} ${formatNumber(unit.activation)}`),
          el("span", { class: "peek-photo-name" }, unit.label),
          ...(unit.tags ? [el("span", { class: "peek-photo-tag" }, unit.tags)] : []),
        ),
      ),
    );
  const layerRow = (at: number): HTMLElement => {
    const { layer, units, real } = photo.layers[at] ?? { layer: "", units: [], real: false };
    const name = shared.layerName(layer);
    const classes = client.wire.get("_layer_list")?.find((each) => each.name === layer)?.named ?? false;
    return el(
      "li",
      { class: "peek-photo-layer" },
      el(
        "span",
        { class: "peek-photo-words" },
        el("b", { title: name }, shorten(name, 24)),
        el("span", { class: "peek-of" }, real ? text.photoOfImages : text.photoOfLayer),
      ),
      ...units.map((unit, number) => {
        const map = photo.layerMaps[at]?.[number] ?? null;
        const words = el(
          "span",
          { class: "peek-of peek-photo-name" },
          (classes && unit.label) || text.photoUnit(unit.unit),
        );
        const said = el("span", { class: "peek-photo-words" }, words, text.photoPercent(unit.percentile));
        return button(layer, unit, map, mapped(map), said);
      }),
    );
  };

  const update = (): void => {
    const { seen } = photo;
    const { picture } = photo;
    // Of another photo the kernel lists the layer shown, and so it does of this one for another page that has come.
    const resent = picture !== pictured.picture && seen?.n === pictured.n;
    if (all && seen && (seen.n !== photoOf || resent)) photo.overview(true);
    photoOf = seen?.n ?? 0;
    if (picture !== pictured.picture) pictured = { picture, n: photoOf };
    one.setAttribute("aria-pressed", String(!all));
    every.setAttribute("aria-pressed", String(all));
    setText(
      title,
      all ? text.photoUnitsAll : text.photoUnitsOf(shared.layerName(seen?.layer ?? ""), seen?.place ?? false),
    );
    setText(basis, all ? text.photoAllBasis : (seen?.text ?? ""));
    head.hidden = all || !seen?.units.length;
    rows.classList.toggle("peek-photo-all", all);
    rows.classList.toggle("peek-photo-with-crops", client.hasDataset);
    head.classList.toggle("peek-photo-with-crops", client.hasDataset);
    const now = all ? [photo.layers] : [seen, photo.picture];
    if (now.length !== listed.length || now.some((each, at) => each !== listed[at])) {
      listed = now;
      fill = [];
      pointed = undefined;
      const active = (rows.getRootNode() as Document | ShadowRoot).activeElement;
      const { unit, layer } = rows.contains(active) ? (active as HTMLElement).dataset : {};
      rows.replaceChildren(
        ...(all
          ? photo.layers.map((_, at) => layerRow(at))
          : (seen?.units.map((each, at) => row(seen.layer, each, photo.maps[at] ?? null)) ?? [])),
      );
      const again = [...rows.querySelectorAll<HTMLElement>(".peek-photo-unit")];
      again.find(({ dataset }) => unit !== undefined && dataset.unit === unit && dataset.layer === layer)?.focus();
    }
    for (const each of fill) each();
  };
  return { element, pointed: () => pointed, update };
}
