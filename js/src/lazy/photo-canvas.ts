import { clamp } from "../numbers";
import type { PhotoEditName, PhotoStore, Stage } from "../stores/photo";
import { el, textButton } from "../ui/dom";
import { throttled, type View } from "../ui/view";
import { text } from "./text";

const EDIT_MS = 120;
const PLACE_MS = 120;
/** How far an arrow key moves the place, as a share of the photo. */
const STEP = 0.04;
const ORANGE = [255, 106, 0] as const;

/** What the photo is shown with: where a unit fires, or the stage of an accentuation in its place. */
export interface Overlay {
  map: ImageBitmap | null | undefined;
  stage: Stage | null;
}

export interface PhotoCanvas {
  canvas: HTMLCanvasElement;
  tools: HTMLElement;
  draw(): void;
  /** Forgets strokes and place, as for another photo. */
  clear(): void;
}

/** The photo, which can be pointed at and brushed over; the brush shows at once, and what it changes follows. */
export function photoCanvas({ signal }: View, photo: PhotoStore, overlay: () => Overlay): PhotoCanvas {
  let how: PhotoEditName = "gray";
  let brush = false;
  let strokes: number[] = [];
  let place: readonly [number, number] | null = null;

  const canvas = el("canvas", { class: "peek-photo-canvas", tabindex: 0, role: "img", "aria-label": text.photoCanvas });
  const draw = (): void => {
    const { picture, seen } = photo;
    const context = canvas.getContext("2d");
    if (!picture || !seen || !context) return;
    const { width, height } = picture;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    context.drawImage(picture, 0, 0);
    const { map, stage } = overlay();
    const [left, top, right, bottom] = seen.shown;
    if (stage)
      context.drawImage(stage.picture, left * width, top * height, (right - left) * width, (bottom - top) * height);
    if (map) layMap(context, map, [0, 0, map.width, map.height], width, height);
    for (let n = 0; n < strokes.length; n += 3) drawStroke(n);
    if (!place) return;
    for (const [color, line] of [
      ["#fff", 5],
      ["#ff6a00", 2.5],
    ] as const) {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.beginPath();
      context.arc(place[1] * width, place[0] * height, 8, 0, 7);
      context.stroke();
    }
  };
  /** Draws the circle whose numbers begin at `n`. */
  const drawStroke = (n: number): void => {
    const context = canvas.getContext("2d");
    const [y = 0, x = 0, radius = 0] = strokes.slice(n, n + 3);
    if (!context) return;
    context.fillStyle = "rgb(128 128 128 / .75)";
    context.beginPath();
    context.arc(x * canvas.width, y * canvas.height, radius * Math.max(canvas.width, canvas.height), 0, 7);
    context.fill();
  };
  const sendEdit = throttled(() => photo.edit(how, false, strokes), EDIT_MS, signal);
  const sendPlace = throttled(() => photo.place(place?.[0] ?? 0, place?.[1] ?? 0, place !== null), PLACE_MS, signal);
  const stroke = (y: number, x: number): void => {
    strokes = [...strokes, y, x, Number(size.value)].slice(-6000);
    // It alone: drawing thousands of them anew would lag behind the hand.
    drawStroke(strokes.length - 3);
    sendEdit();
  };
  const act = (event: PointerEvent): void => {
    const box = canvas.getBoundingClientRect();
    const y = clamp((event.clientY - box.top) / box.height, 0, 1);
    const x = clamp((event.clientX - box.left) / box.width, 0, 1);
    if (brush) {
      stroke(y, x);
      return;
    }
    place = [y, x];
    sendPlace();
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
        sendPlace();
      } else if (down !== undefined && right !== undefined) {
        const [y, x] = place ?? [0.5, 0.5];
        place = [clamp(y + down * STEP, 0, 1), clamp(x + right * STEP, 0, 1)];
        sendPlace();
      } else if (event.key === "Enter" && brush) stroke(...(place ?? ([0.5, 0.5] as const)));
      else return;
      event.preventDefault();
      draw();
    },
    { signal },
  );

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
    title: text.photoBrushSize,
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
  const clear = (): void => {
    strokes = [];
    place = null;
  };
  const reset = textButton(
    text.photoReset,
    () => {
      clear();
      photo.edit(how, false, []);
      photo.place(0, 0, false);
      draw();
    },
    signal,
  );
  const tools = el(
    "div",
    { class: "peek-photo-tools" },
    el(
      "div",
      { class: "peek-inline" },
      el("span", { class: "peek-label" }, text.photoWhatIf),
      el("span", { class: "peek-spring" }),
      el("div", { class: "peek-pair" }, reset),
    ),
    el(
      "div",
      { class: "peek-choices" },
      el("div", { class: "peek-inline" }, el("div", { class: "peek-pair" }, brushButton), kind, size),
      el(
        "div",
        { class: "peek-pair" },
        whole("grayscale", text.photoGrayscale),
        whole("blur", text.photoBlur),
        whole("shuffle", text.photoShuffle),
      ),
    ),
  );
  return { canvas, tools, draw, clear };
}

/** Lays a part of a unit's map over what is drawn, in orange, on gray: over a red thing it would not be seen. */
export function layMap(
  context: CanvasRenderingContext2D,
  map: ImageBitmap,
  [x, y, across, down]: readonly [number, number, number, number],
  width: number,
  height: number,
): void {
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "source-over";
  context.drawImage(tinted(map), x, y, across, down, 0, 0, width, height);
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
