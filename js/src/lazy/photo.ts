import type { PhotoClass } from "../protocol.gen";
import type { PhotoStore } from "../stores/photo";
import { el, setText, textButton } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { accentuatePanel } from "./photo-accentuate";
import { photoCanvas } from "./photo-canvas";
import { problemLine, waysIn } from "./photo-in";
import { unitList } from "./photo-units";
import { text } from "./text";

/** A photo of the user's own: predictions, the units that fire unusually on it and where, what if, and more of a unit. */
export function photoContents(view: View, photo: PhotoStore): HTMLElement[] {
  const { signal } = view;
  const root = el("div", { class: "peek-photo" });
  const { line: problem, show: showProblem } = problemLine();
  const help = el("p", { class: "peek-help", role: "status" });
  let of = 0;

  const redraw = (): void => {
    accentuate.update();
    listClasses();
    shown.draw();
  };
  const ways = waysIn(view, photo, root, () => update());
  const units = unitList(view, photo, () => shown.draw());
  const accentuate = accentuatePanel(view, photo, redraw);
  const shown = photoCanvas(view, photo, () => ({ stage: accentuate.stage(), map: units.pointed() }));
  const close = textButton(text.photoClose, () => photo.close(), signal);

  const classes = el("ol", { class: "peek-photo-classes", "aria-label": text.photoClasses });
  const note = el("p", { class: "peek-help" });
  const content = el(
    "div",
    { class: "peek-group" },
    el(
      "div",
      { class: "peek-photo-main" },
      el("div", { class: "peek-photo-side" }, shown.canvas, accentuate.tools),
      el(
        "div",
        { class: "peek-photo-side" },
        el("h3", { class: "peek-label" }, text.photoClasses),
        classes,
        note,
        shown.tools,
      ),
    ),
    accentuate.result,
    units.element,
  );
  const listClasses = (): void => {
    const list = accentuate.stage()?.classes ?? photo.seen?.classes ?? [];
    classes.replaceChildren(...list.map(classRow));
  };

  const update = (): void => {
    const { seen } = photo;
    const there = Boolean(photo.picture && seen && seen.state === "done");
    content.hidden = !there;
    close.hidden = !there;
    ways.drop.hidden = there;
    showProblem(ways.problem() || photo.problem || (seen?.state === "error" ? seen.problem : ""));
    setText(help, seen?.state === "looking" ? text.photoLooking : there ? "" : text.photoPrivate);
    help.hidden = !help.textContent;
    if (seen && seen.n !== of) {
      of = seen.n;
      shown.clear();
    }
    if (!there || !seen) return;
    setText(note, seen.note);
    note.hidden = !seen.note;
    units.update();
    redraw();
    // For tests, as the other data attributes of the root.
    const state = `${seen.n}/${seen.layer}/${seen.place ? "place" : "photo"}/${seen.changed ? "changed" : "whole"}`;
    const dataset = root.closest<HTMLElement>(".peek-root")?.dataset;
    if (!dataset) return;
    dataset.peekPhoto = state;
    dataset.peekPhotoPictures = String([...photo.pictures.values()].filter((one) => typeof one !== "string").length);
    dataset.peekPhotoStep = String(photo.stages.at(-1)?.step ?? -1);
    dataset.peekPhotoLayers = String(photo.layers.length);
  };
  root.addEventListener(
    "keydown",
    (event) => {
      const typing = (event.target as Element).matches("select");
      if (event.key.toLowerCase() !== "o" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
      accentuate.toggle();
      event.preventDefault();
    },
    { signal },
  );
  root.append(
    el("div", { class: "peek-choices" }, ...ways.buttons, el("span", { class: "peek-spring" }), close),
    ways.drop,
    problem,
    help,
    content,
  );
  watch(view, ["photo"], update);
  watch(view, ["unit", "layer"], () => accentuate.update());
  return [root];
}

/** A class with its share as a bar, and what it was where that has changed. */
function classRow({ name, before, after }: PhotoClass): HTMLElement {
  const said = after === null ? percent(before) : `${percent(before)} → ${percent(after)}`;
  const row = el("li", {}, el("span", { class: "peek-photo-name", title: name }, name), el("span", {}, said));
  row.style.setProperty("--share", `${100 * (after ?? before)}%`);
  return row;
}

function percent(share: number): string {
  return share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}
