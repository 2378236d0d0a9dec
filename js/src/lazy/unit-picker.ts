import { chooseUnit, currentLayer } from "../layers";
import { el, iconButton, setProperty } from "../ui/dom";
import { type View, watch, watchThrottled } from "../ui/view";
import { text } from "./text";

/** Thumbnails in a row of the list, as unit-picker.css has it. */
const COLUMNS = 6;

/**
 * A button that opens the units of the layer as thumbnails; it is there once the contact sheet of the layer has some.
 * WAI: a listbox, in which the arrow keys move and Enter chooses.
 */
export function unitPicker(view: View): HTMLElement {
  const { client, signal } = view;
  const key = Math.random().toString(36).slice(2);
  const list = el("div", {
    class: "peek-unit-list",
    role: "listbox",
    id: `peek-units-${key}`,
    tabindex: 0,
    "aria-label": text.unitPicker,
    hidden: true,
  });
  let active = 0;
  const show = (open: boolean): void => {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    active = client.wire.get("unit");
    fill();
    if (open) list.focus({ preventScroll: true });
  };
  const button = iconButton("grid", text.unitPicker, () => show(list.hidden), signal);
  button.setAttribute("aria-haspopup", "listbox");
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", list.id);
  const box = el("div", { class: "peek-unit-picker" }, button, list);

  const thumbs = (): ReadonlyMap<number, { url: string }> => {
    const sheet = client.lazy.loaded?.sheet;
    return sheet?.info?.layer === client.wire.get("layer") ? sheet.thumbs : new Map();
  };
  const fill = (): void => {
    const drawn = thumbs();
    setProperty(box, "hidden", drawn.size === 0);
    if (list.hidden || drawn.size === 0) {
      list.replaceChildren();
      return;
    }
    const { channels = 0 } = currentLayer(client) ?? {};
    while (list.children.length > channels) list.lastElementChild?.remove();
    for (let unit = list.children.length; unit < channels; unit += 1) {
      const image = el("img", { alt: "", draggable: "false", decoding: "async" });
      list.append(el("div", { role: "option", id: `${list.id}-${unit}`, "aria-label": text.unitTitle(unit) }, image));
    }
    [...list.children].forEach((option, unit) => {
      const image = option.firstElementChild as HTMLImageElement;
      const url = drawn.get(unit)?.url ?? "";
      if (image.getAttribute("src") !== url) image.setAttribute("src", url);
      setProperty(image, "hidden", !url);
      setProperty(option as HTMLElement, "title", text.unitTitle(unit));
      option.setAttribute("aria-selected", String(unit === client.wire.get("unit")));
    });
    paint();
  };
  const paint = (): void => {
    [...list.children].forEach((option, unit) => option.classList.toggle("peek-list-active", unit === active));
    list.setAttribute("aria-activedescendant", `${list.id}-${active}`);
    list.children[active]?.scrollIntoView?.({ block: "nearest" });
  };
  const take = (unit: number): void => {
    chooseUnit(client, unit);
    show(false);
    button.focus({ preventScroll: true });
  };

  list.addEventListener(
    "keydown",
    (event) => {
      const last = list.children.length - 1;
      const to = {
        ArrowLeft: active - 1,
        ArrowRight: active + 1,
        ArrowUp: active - COLUMNS,
        ArrowDown: active + COLUMNS,
        Home: 0,
        End: last,
      }[event.key];
      if (event.key === "Enter" || event.key === " ") take(active);
      else if (event.key === "Escape") {
        show(false);
        button.focus({ preventScroll: true });
      } else if (to !== undefined) {
        if (to >= 0 && to <= last) active = to;
        paint();
      } else return;
      event.preventDefault();
    },
    { signal },
  );
  list.addEventListener(
    "click",
    (event) => {
      const unit = [...list.children].findIndex((option) => option.contains(event.target as Node));
      if (unit >= 0) take(unit);
    },
    { signal },
  );
  box.addEventListener(
    "focusout",
    (event) => {
      if (!list.hidden && !box.contains(event.relatedTarget as Node | null)) show(false);
    },
    { signal },
  );
  watch(view, ["sheet", "layer", "unit", "_layer_list"], fill);
  watchThrottled(view, ["thumbs"], 200, fill);
  return box;
}
