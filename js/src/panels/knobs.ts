import { clamp, formatFixed, formatNumber } from "../numbers";
import type { KnobInfo } from "../protocol.gen";
import { text } from "../text";
import { slider } from "../ui/controls";
import { el, iconButton, setText } from "../ui/dom";
import { helpFor } from "../ui/help";
import { type View, watch, watchThrottled } from "../ui/view";

/** Number of slider positions: smooth under a pointer, yet few enough for the arrow keys. */
export const POSITIONS = 200;
/** A logarithmic knob that starts at 0 has 0 at its first position and this share of the maximum at its second. */
const SMALLEST_SHARE = 1e-4;

/** The slider position of a value. */
export function positionOf(knob: KnobInfo, value: number): number {
  const { minimum, maximum } = knob;
  if (!(maximum > minimum) || !Number.isFinite(value)) return 0;
  const inside = clamp(value, minimum, maximum);
  if (knob.scale === "linear") return Math.round(((inside - minimum) / (maximum - minimum)) * POSITIONS);
  const lowest = minimum > 0 ? minimum : maximum * SMALLEST_SHARE;
  if (inside < lowest) return 0;
  const share = Math.log(inside / lowest) / Math.log(maximum / lowest);
  return minimum > 0 ? Math.round(share * POSITIONS) : 1 + Math.round(share * (POSITIONS - 1));
}

/** The value at a slider position. */
export function valueAt(knob: KnobInfo, position: number): number {
  const { minimum, maximum } = knob;
  // The ends are exact, without rounding.
  if (position <= 0) return minimum;
  if (position >= POSITIONS) return maximum;
  if (knob.scale === "linear") return tidy(minimum + ((maximum - minimum) * position) / POSITIONS, knob);
  const lowest = minimum > 0 ? minimum : maximum * SMALLEST_SHARE;
  const share = minimum > 0 ? position / POSITIONS : (position - 1) / (POSITIONS - 1);
  return tidy(lowest * (maximum / lowest) ** share, knob);
}

/** Formats with the same number of decimals at every position of a linear knob, unless the value is too small. */
export function formatKnob(knob: KnobInfo, value: number): string {
  const digits = knob.maximum - knob.minimum > 3 ? 2 : 3;
  const tooSmall = value !== 0 && Math.abs(value) < 10 ** -digits;
  return knob.scale === "log" || tooSmall ? formatNumber(value) : formatFixed(value, digits);
}

/** Rounds to three digits, which one can read and repeat in a script, and stays inside the range. */
function tidy(value: number, knob: KnobInfo): number {
  return clamp(Number(value.toPrecision(3)), knob.minimum, knob.maximum);
}

/** The sliders of the regularizers. Each follows the recipe until the user overrides it, and can be reset. */
export function knobsPanel(view: View): HTMLElement {
  const rows = el("div", { class: "peek-knobs", role: "group", "aria-label": text.regularization });
  let current: AbortController | undefined;
  view.signal.addEventListener("abort", () => current?.abort(), { once: true });
  watch(view, ["_knobs"], () => {
    current?.abort();
    current = new AbortController();
    const inner = { client: view.client, signal: current.signal };
    rows.replaceChildren(...(view.client.wire.get("_knobs") ?? []).map((knob) => knobRow(inner, knob)));
  });
  return rows;
}

function knobRow(view: View, knob: KnobInfo): HTMLElement {
  const { client, signal } = view;
  const { wire } = client;
  const set = (value: number | null): void => {
    wire.edit({ [knob.name]: value });
    client.connection.expectReply();
  };
  const range = slider(knob.label, (position) => set(valueAt(knob, position)), signal);
  const number = el("span", { class: "peek-value" });
  const badge = el("span", { class: "peek-badge" });
  const resetValue = (): void => {
    // The button is about to disappear and must not take the focus with it.
    range.input.focus();
    set(null);
  };
  const reset = iconButton("undo", text.resetKnob(knob.label), resetValue, signal);
  reset.classList.add("peek-quiet");
  const help = helpFor(knob.label, knob.help, signal);
  const row = el(
    "div",
    { class: "peek-knob" },
    el(
      "div",
      { class: "peek-knob-head" },
      el("span", { class: "peek-inline" }, el("span", { class: "peek-label" }, knob.label), help.button, badge),
      number,
      el("span", { class: "peek-unit" }, knob.unit),
      reset,
    ),
    range.input,
    help.note,
  );

  const update = (): void => {
    const { values, recipe_values } = client.status;
    const own = wire.get(knob.name);
    const overridden = own !== null && own !== undefined;
    const value = overridden ? own : values[knob.name];
    const planned = recipe_values[knob.name];
    // Before the first run the recipe's values are unknown, and no slider is disabled.
    const unused = !overridden && planned === undefined && Object.keys(recipe_values).length > 0;
    const shown = value === undefined ? "–" : formatKnob(knob, value);
    const recipeValue = planned === undefined ? null : formatKnob(knob, planned);
    row.classList.toggle("peek-overridden", overridden);
    row.classList.toggle("peek-unused", unused);
    setText(badge, overridden ? text.overridden : unused ? text.unusedKnob : "");
    setText(number, shown);
    reset.disabled = !overridden;
    range.show({
      maximum: unused ? 0 : POSITIONS,
      value: value === undefined ? 0 : positionOf(knob, value),
      spoken: text.knobSpoken(shown, knob.unit, overridden, recipeValue),
      ...(planned === undefined ? {} : { mark: positionOf(knob, planned) }),
    });
  };
  // The user's own changes show at once; those of a schedule at a readable pace.
  watch(view, [knob.name], update);
  watchThrottled(view, ["status"], 100, update);
  return row;
}
