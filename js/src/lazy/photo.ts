import { clamp, formatNumber } from "../numbers";
import type { PhotoSeen, PhotoUnit } from "../protocol.gen";
import type { PhotoEditName, PhotoStore } from "../stores/photo";
import { el, setText, textButton } from "../ui/dom";
import { throttled, type View, watch } from "../ui/view";
import { cameraProblem } from "./camera";
import { text } from "./text";

const EDIT_MS = 120;
const PLACE_MS = 120;
/** How far an arrow key moves the place, as a share of the photo. */
const STEP = 0.04;
const ORANGE = [255, 106, 0] as const;

/** A photo of the user's own: predictions, the units that fire unusually on it and where, and what if a part were not there. */
export function photoContents(view: View, photo: PhotoStore): HTMLElement[] {
  const { client, signal } = view;
  let how: PhotoEditName = "gray";
  let brush = false;
  let strokes: number[] = [];
  let shownUnit: number | null = null;
  let place: readonly [number, number] | null = null;

  // In: choose, drop, paste, camera
  const file = el("input", { type: "file", accept: "image/*", class: "peek-visually-hidden", tabindex: -1 });
  file.addEventListener("change", () => give(file.files?.[0]), { signal });
  const choose = textButton(text.photoChoose, () => file.click(), signal);
  const camera = textButton(text.photoCamera, () => void snapshot(), signal);
  const line = el("p", { class: "peek-help", role: "status" });
  const problem = el("p", { class: "peek-error", role: "alert" });
  const drop = el("div", { class: "peek-photo-drop", tabindex: 0 }, text.photoDrop);
  const give = (given: Blob | undefined | null): void => {
    if (!given) return;
    strokes = [];
    place = null;
    shownUnit = null;
    setText(problem, "");
    void photo.give(given);
  };
  const root = el("div", { class: "peek-photo" });
  root.addEventListener("dragover", (event) => event.preventDefault(), { signal });
  root.addEventListener(
    "drop",
    (event) => {
      event.preventDefault();
      give([...(event.dataTransfer?.files ?? [])].find((one) => one.type.startsWith("image/") || !one.type));
    },
    { signal },
  );
  root.addEventListener(
    "paste",
    (event) => {
      const item = [...(event.clipboardData?.items ?? [])].find((one) => one.type.startsWith("image/"));
      if (!item) return;
      event.preventDefault();
      give(item.getAsFile());
    },
    { signal },
  );
  const snapshot = async (): Promise<void> => {
    let stream: MediaStream | undefined;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1024 } } });
      const video = el("video", { muted: true });
      video.srcObject = stream;
      await video.play();
      const canvas = el("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d")?.drawImage(video, 0, 0);
      canvas.toBlob((made) => give(made), "image/jpeg", 0.95);
    } catch (error) {
      setText(problem, cameraProblem(error, window.isSecureContext));
    } finally {
      for (const track of stream?.getTracks() ?? []) track.stop();
    }
  };

  // The photo, with the map of a unit over it
  const canvas = el("canvas", { class: "peek-photo-canvas", tabindex: 0, role: "img" });
  const draw = (): void => {
    const { picture, seen } = photo;
    const context = canvas.getContext("2d");
    if (!picture || !seen || !context) return;
    canvas.width = picture.width;
    canvas.height = picture.height;
    context.drawImage(picture, 0, 0);
    const at = seen.units.findIndex(({ unit }) => unit === shownUnit);
    const map = photo.maps[at];
    if (map) context.drawImage(tinted(map), 0, 0, picture.width, picture.height);
    context.fillStyle = "rgb(128 128 128 / .75)";
    for (let n = 0; n < strokes.length; n += 3) {
      const [y = 0, x = 0, radius = 0] = strokes.slice(n, n + 3);
      context.beginPath();
      const longest = Math.max(picture.width, picture.height);
      context.arc(x * picture.width, y * picture.height, radius * longest, 0, 7);
      context.fill();
    }
    if (place) {
      context.strokeStyle = "#ff6a00";
      context.lineWidth = 2;
      context.beginPath();
      context.arc(place[1] * picture.width, place[0] * picture.height, 7, 0, 7);
      context.stroke();
    }
  };
  const sendEdit = throttled(() => photo.edit(how, false, strokes), EDIT_MS, signal);
  const sendPlace = throttled(() => photo.place(place?.[0] ?? 0, place?.[1] ?? 0, place !== null), PLACE_MS, signal);
  const where = (event: PointerEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    return [clamp((event.clientY - box.top) / box.height, 0, 1), clamp((event.clientX - box.left) / box.width, 0, 1)];
  };
  const act = (event: PointerEvent): void => {
    const [y, x] = where(event);
    if (brush) {
      strokes = [...strokes, y, x, Number(size.value)].slice(-6000);
      sendEdit();
    } else {
      place = [y, x];
      sendPlace();
    }
    draw();
  };
  canvas.addEventListener(
    "pointerdown",
    (event) => {
      canvas.setPointerCapture?.(event.pointerId);
      act(event);
    },
    { signal },
  );
  canvas.addEventListener("pointermove", (event) => event.buttons && act(event), { signal });
  canvas.addEventListener(
    "keydown",
    (event) => {
      const [down, right] =
        { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
      if (event.key === "Escape" && place) {
        place = null;
      } else if (down !== undefined && right !== undefined) {
        const [y, x] = place ?? [0.5, 0.5];
        place = [clamp(y + down * STEP, 0, 1), clamp(x + right * STEP, 0, 1)];
      } else if (event.key === "Enter" && brush) {
        strokes = [...strokes, ...(place ?? [0.5, 0.5]), Number(size.value)];
        sendEdit();
        draw();
        return;
      } else return;
      event.preventDefault();
      sendPlace();
      draw();
    },
    { signal },
  );

  // What if
  const kind = el(
    "select",
    { class: "peek-select", "aria-label": text.photoHow },
    ...Object.entries(text.photoEdits).map(([value, words]) => el("option", { value }, words)),
  );
  kind.addEventListener(
    "change",
    () => {
      how = kind.value as PhotoEditName;
      if (strokes.length) sendEdit();
    },
    { signal },
  );
  const size = el("input", {
    type: "range",
    class: "peek-slider",
    min: 0.02,
    max: 0.25,
    step: 0.01,
    value: 0.08,
    "aria-label": text.photoBrushSize,
  });
  const brushButton = textButton(
    text.photoBrush,
    () => {
      brush = !brush;
      brushButton.setAttribute("aria-pressed", String(brush));
    },
    signal,
    text.photoBrushHelp,
  );
  brushButton.setAttribute("aria-pressed", "false");
  const whole = (edit: PhotoEditName, label: string): HTMLElement =>
    textButton(
      label,
      () => {
        strokes = [];
        photo.edit(edit, true, []);
        draw();
      },
      signal,
    );
  const reset = textButton(
    text.photoReset,
    () => {
      strokes = [];
      place = null;
      photo.edit(how, false, []);
      photo.place(0, 0, false);
      draw();
    },
    signal,
  );
  const close = textButton(text.photoClose, () => photo.close(), signal);
  const tools = el(
    "div",
    { class: "peek-choices" },
    brushButton,
    kind,
    size,
    whole("grayscale", text.photoGrayscale),
    whole("blur", text.photoBlur),
    whole("shuffle", text.photoShuffle),
    reset,
    close,
  );

  // What is seen
  const classes = el("ol", { class: "peek-photo-classes", "aria-label": text.photoClasses });
  const note = el("p", { class: "peek-help" });
  const units = el("ul", { class: "peek-photo-units", "aria-label": text.photoUnits });
  const shown = el(
    "div",
    { class: "peek-group" },
    el("div", { class: "peek-photo-main" }, canvas, el("div", {}, classes, note)),
    tools,
    units,
  );
  const list = (seen: PhotoSeen): void => {
    classes.replaceChildren(
      ...seen.classes.map(({ name, before, after }) => {
        const now = after ?? before;
        const row = el(
          "li",
          {},
          el("span", { class: "peek-photo-name" }, name),
          el("span", {}, after === null ? percent(before) : `${percent(before)} → ${percent(after)}`),
        );
        row.style.setProperty("--share", `${100 * now}%`);
        return row;
      }),
    );
    setText(note, seen.note);
    const focused = units.contains(document.activeElement) ? shownUnit : null;
    units.replaceChildren(...seen.units.map((unit) => row(unit, seen.layer)));
    if (focused !== null) units.querySelector<HTMLElement>(`[data-unit="${focused}"]`)?.focus();
  };
  const row = (unit: PhotoUnit, layer: string): HTMLElement => {
    const thumb = el("canvas", { class: "peek-thumb" });
    const at = photo.seen?.units.indexOf(unit) ?? -1;
    const { picture } = photo;
    if (picture) {
      thumb.width = 96;
      thumb.height = Math.max(1, Math.round((96 * picture.height) / picture.width));
      const context = thumb.getContext("2d");
      context?.drawImage(picture, 0, 0, thumb.width, thumb.height);
      const map = photo.maps[at];
      if (map) context?.drawImage(tinted(map), 0, 0, thumb.width, thumb.height);
    }
    const button = el(
      "button",
      { type: "button", class: "peek-tile", "data-unit": unit.unit, title: text.photoGo(unit.unit) },
      thumb,
      el("span", { class: "peek-tile-label" }, text.photoUnit(unit.unit)),
      el("span", {}, `${formatNumber(unit.activation)}`),
      el("span", { class: "peek-help" }, `${unit.percentile.toFixed(1)} % ${unit.words}`),
    );
    const point = (): void => {
      shownUnit = unit.unit;
      draw();
    };
    button.addEventListener("pointerenter", point, { signal });
    button.addEventListener("focus", point, { signal });
    button.addEventListener(
      "click",
      () => {
        client.wire.edit({ layer, unit: unit.unit });
        client.connection.expectReply();
      },
      { signal },
    );
    return el("li", {}, button);
  };

  const update = (): void => {
    const { seen } = photo;
    const there = Boolean(photo.picture && seen && seen.state === "done");
    shown.hidden = !there;
    drop.hidden = there;
    const failed = photo.problem || (seen?.state === "error" ? seen.problem : "");
    if (failed || seen?.state === "done") setText(problem, failed);
    problem.hidden = !problem.textContent;
    setText(line, seen?.state === "looking" ? text.photoLooking : there ? (seen?.text ?? "") : text.photoPrivate);
    if (!there || !seen) return;
    canvas.setAttribute("aria-label", text.photoCanvas);
    if (shownUnit === null || !seen.units.some(({ unit }) => unit === shownUnit))
      shownUnit = seen.units[0]?.unit ?? null;
    list(seen);
    draw();
    // For tests, as the other data attributes of the root.
    const state = `${seen.n}/${seen.layer}/${seen.place ? "place" : "photo"}/${seen.changed ? "changed" : "whole"}`;
    root.closest<HTMLElement>(".peek-root")?.setAttribute("data-peek-photo", state);
  };
  root.append(el("div", { class: "peek-choices" }, choose, camera, file), drop, problem, line, shown);
  watch(view, ["photo"], update);
  return [root];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** Makes an orange picture whose opacity is the brightness of a gray one. */
function tinted(map: ImageBitmap): HTMLCanvasElement {
  const made = document.createElement("canvas");
  made.width = map.width;
  made.height = map.height;
  const context = made.getContext("2d");
  if (!context) return made;
  context.drawImage(map, 0, 0);
  const image = context.getImageData(0, 0, map.width, map.height);
  for (let at = 0; at < image.data.length; at += 4) {
    image.data[at + 3] = 0.75 * (image.data[at] ?? 0);
    image.data.set(ORANGE, at);
  }
  context.putImageData(image, 0, 0);
  return made;
}
