import { readWhole } from "../numbers";
import { el, put } from "./dom";

export interface SliderState {
  maximum: number;
  value: number;
  /** What a screen reader says instead of the bare position. */
  spoken: string;
  /** Where a tick is drawn: a position worth coming back to. */
  mark?: number;
}

export interface Slider {
  input: HTMLInputElement;
  show(state: SliderState): void;
}

/**
 * A range input from 0 to `maximum` that is never moved under a hand that holds it: what comes in
 * meanwhile is shown when the hand lets go.
 */
export function slider(label: string, onInput: (value: number) => void, signal: AbortSignal): Slider {
  const input = el("input", { type: "range", class: "peek-slider", min: 0, step: 1, "aria-label": label });
  let held = false;
  let waiting: SliderState | null = null;

  const apply = (state: SliderState): void => {
    put(input, "max", String(Math.max(0, state.maximum)));
    put(input, "value", String(state.value));
    put(input, "disabled", state.maximum <= 0);
    input.classList.toggle("peek-marked", state.mark !== undefined);
    if (state.mark !== undefined) input.style.setProperty("--mark", String(state.mark / state.maximum));
    fill();
  };
  // The part left of the thumb is colored by the style sheet from this property.
  const fill = (): void => {
    const maximum = Number(input.max);
    input.style.setProperty("--fill", String(maximum > 0 ? Number(input.value) / maximum : 0));
  };
  const release = (): void => {
    held = false;
    if (waiting) apply(waiting);
    waiting = null;
  };

  input.addEventListener("pointerdown", () => (held = true), { signal });
  for (const end of ["pointerup", "pointercancel", "blur"]) input.addEventListener(end, release, { signal });
  input.addEventListener(
    "input",
    () => {
      // Before anything else: what comes in from this very change must not be kept back as older.
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
      if (held) waiting = state;
      else apply(state);
    },
  };
}

export interface SearchBox {
  box: HTMLElement;
  show(names: readonly string[], at: number): void;
}

/** A list that one searches by typing: any part of a name finds the first that has it; else nothing changes. */
export function searchBox(label: string, onChoose: (at: number) => void, signal: AbortSignal): SearchBox {
  const id = `peek-${Math.random()}`;
  const list = el("datalist", { id });
  const input = el("input", { class: "peek-select", list: id, autocomplete: "off", "aria-label": label });
  let names: readonly string[] = [];
  let shown = "";

  const restore = (): void => {
    input.value = shown;
    input.placeholder = "";
  };
  // With a name in the box a browser offers that one only.
  input.addEventListener(
    "focus",
    () => {
      input.placeholder = shown;
      input.value = "";
    },
    { signal },
  );
  input.addEventListener("blur", restore, { signal });
  const settle = (): void => {
    const typed = input.value.trim().toLowerCase();
    const plain = names.map((name) => name.toLowerCase());
    const exact = plain.indexOf(typed);
    const at = exact < 0 && typed ? plain.findIndex((name) => name.includes(typed)) : exact;
    input.value = "";
    if (at >= 0) onChoose(at);
  };
  input.addEventListener("change", settle, { signal });
  // With its list open a browser takes this key for the list, and nothing has changed for it.
  input.addEventListener("keydown", (event) => event.key === "Enter" && settle(), { signal });

  return {
    box: el("div", { class: "peek-search" }, input, list),
    show(known, at) {
      if (known !== names) list.replaceChildren(...known.map((name) => el("option", { value: name })));
      names = known;
      shown = names[at] ?? "";
      if (input.placeholder) input.placeholder = shown;
      else input.value = shown;
    },
  };
}

export interface NumberBox {
  input: HTMLInputElement;
  show(value: number, maximum: number): void;
}

/** A box for a whole number: takes effect on Enter, on leaving it and on its arrows, not in mid-typing. */
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

  const settle = (): void => {
    typing = false;
    const value = readWhole(input.value, 0, Number(input.max));
    input.value = String(value ?? shown);
    if (value !== null && value !== shown) onChange(value);
  };
  input.addEventListener("input", () => (typing = true), { signal });
  input.addEventListener("change", settle, { signal });
  // Chromium fires no change event for text that is not a number.
  input.addEventListener("blur", () => typing && settle(), { signal });

  return {
    input,
    show(value, maximum) {
      shown = value;
      input.max = String(Math.max(0, maximum));
      if (!typing) input.value = String(value);
    },
  };
}
