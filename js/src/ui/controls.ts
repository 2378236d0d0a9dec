import { readWhole } from "../numbers";
import { el, setProperty } from "./dom";

export interface SliderState {
  maximum: number;
  value: number;
  /** The text that a screen reader speaks instead of the position. */
  spoken: string;
  /** The position of a tick mark. */
  mark?: number;
}

export interface Slider {
  input: HTMLInputElement;
  show(state: SliderState): void;
}

/**
 * Makes a range input from 0 to `maximum`. While the user drags it, its position is left alone; an update that comes
 * meanwhile is applied when the drag ends.
 */
export function slider(label: string, onInput: (value: number) => void, signal: AbortSignal): Slider {
  const input = el("input", { type: "range", class: "peek-slider", min: 0, step: 1, "aria-label": label });
  let dragging = false;
  let waiting: SliderState | null = null;

  const apply = (state: SliderState): void => {
    setProperty(input, "max", String(Math.max(0, state.maximum)));
    setProperty(input, "value", String(state.value));
    setProperty(input, "disabled", state.maximum <= 0);
    input.classList.toggle("peek-marked", state.mark !== undefined);
    if (state.mark !== undefined) input.style.setProperty("--mark", String(state.mark / state.maximum));
    fill();
  };
  // The style sheet colors the part left of the thumb by this property.
  const fill = (): void => {
    const maximum = Number(input.max);
    input.style.setProperty("--fill", String(maximum > 0 ? Number(input.value) / maximum : 0));
  };
  const release = (): void => {
    dragging = false;
    if (waiting) apply(waiting);
    waiting = null;
  };

  input.addEventListener("pointerdown", () => (dragging = true), { signal });
  for (const end of ["pointerup", "pointercancel", "blur"]) input.addEventListener(end, release, { signal });
  input.addEventListener(
    "input",
    () => {
      // First of all, since an update caused by this very input must not be delayed as an older one.
      waiting = null;
      fill();
      onInput(Number(input.value));
    },
    { signal },
  );

  return {
    input,
    show(state) {
      input.setAttribute("aria-valuetext", state.spoken);
      if (dragging) waiting = state;
      else apply(state);
    },
  };
}

export interface NumberBox {
  input: HTMLInputElement;
  show(value: number, maximum: number): void;
}

/** Makes a box for a whole number. It takes effect on Enter, on blur and on its arrows, but not while typing. */
export function numberBox(label: string, onChange: (value: number) => void, signal: AbortSignal): NumberBox {
  const input = el("input", {
    type: "number",
    class: "peek-number",
    min: 0,
    step: 1,
    inputmode: "numeric",
    "aria-label": label,
  });
  let typing = false;
  let shown = 0;

  const commit = (): void => {
    typing = false;
    const value = readWhole(input.value, 0, Number(input.max));
    input.value = String(value ?? shown);
    if (value !== null && value !== shown) onChange(value);
  };
  input.addEventListener("input", () => (typing = true), { signal });
  input.addEventListener("change", commit, { signal });
  // Chromium fires no change event for text that is not a number.
  input.addEventListener("blur", () => typing && commit(), { signal });

  return {
    input,
    show(value, maximum) {
      shown = value;
      input.max = String(Math.max(0, maximum));
      if (!typing) input.value = String(value);
    },
  };
}
