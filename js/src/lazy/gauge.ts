import { formatNumber } from "../numbers";
import type { Gauge } from "../protocol.gen";
import { el, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { text } from "./text";

/**
 * The position of a value on the scale, 0 to 1. The maximum over the real images is in the middle. Left of it lies their
 * range, linearly; right of it what exceeds them, by the logarithm of the ratio to the maximum, up to `reach`.
 */
export function positionOn(gauge: Gauge, value: number, reach: number): number {
  const { best } = gauge;
  const low = lowEnd(gauge);
  if (value <= best) return best > low ? Math.max(0, (0.5 * (value - low)) / (best - low)) : value < best ? 0 : 0.5;
  // A ratio to a maximum of zero or less means nothing; then the distance counts, in ranges of the real images.
  const far =
    best > 0
      ? Math.log(value / best) / Math.log(reach)
      : Math.log1p((value - best) / Math.max(best - low, 1e-9)) / Math.log1p(reach);
  return Math.min(1, 0.5 + 0.5 * far);
}

/** The ratio at the right end. It grows by factors of ten, so that the scale rarely changes while the mark moves. */
export function reachFor(gauge: Gauge, before: number): number {
  const { best, activation } = gauge;
  const ratio = activation !== null && best > 0 ? activation / best : 1;
  let reach = before;
  while (ratio > reach && reach < 1e6) reach *= 10;
  return reach;
}

function lowEnd({ lowest, best }: Gauge): number {
  return Math.min(best > 0 ? 0 : lowest, lowest);
}

/** The content of `panel`: the picture and the real images on one scale of activations. */
export function gaugeContents(view: View, panel: HTMLElement): HTMLElement[] {
  const { client } = view;
  const words = el("p", { class: "peek-gauge-text", "aria-live": "off" });
  const score = el("p", { class: "peek-help" });
  const marks = ["median", "high", "best"].map((kind) => el("span", { class: `peek-mark peek-mark-${kind}` }));
  const drawn = el("span", { class: "peek-mark-optimized" });
  const times = el("div", { class: "peek-times", "aria-hidden": "true" });
  const range = el("span", { class: "peek-scale-range" });
  const scale = el("div", { class: "peek-scale", role: "img", "aria-label": text.gaugeSpoken }, range, ...marks, drawn);
  const legend = ["median", "high", "best", "optimized"].map((kind) => {
    const value = el("b", {});
    const name =
      { median: text.medianMark, high: text.highMark, best: text.bestMark, optimized: text.optimizedMark }[kind] ?? "";
    const item = el(
      "span",
      { class: "peek-key" },
      el("span", { class: `peek-swatch peek-swatch-${kind}` }),
      `${name} `,
      value,
    );
    return { item, value };
  });
  let reach = 10;
  let of = "";
  let ticks = "";

  watch(view, ["gauge", "unit", "layer"], () => {
    const raw = client.wire.get("gauge") ?? {};
    const gauge = raw as Gauge;
    const empty =
      raw.best === undefined || raw.unit !== client.wire.get("unit") || raw.layer !== client.wire.get("layer");
    panel.classList.toggle("peek-gauge-empty", empty);
    if (empty) {
      setText(words, "");
      setText(score, "");
      drawn.hidden = true;
      for (const { value } of legend) setText(value, "–");
      return;
    }
    const unit = `${gauge.layer}/${gauge.unit}`;
    reach = reachFor(gauge, unit === of ? reach : 10);
    of = unit;
    const at = (element: HTMLElement, value: number): void => {
      element.style.left = `${(100 * positionOn(gauge, value, reach)).toFixed(2)}%`;
    };
    const values = [gauge.median, gauge.high, gauge.best];
    marks.forEach((mark, index) => at(mark, values[index] ?? 0));
    range.style.left = `${(100 * positionOn(gauge, gauge.lowest, reach)).toFixed(2)}%`;
    range.style.right = "50%";
    drawn.hidden = gauge.activation === null;
    if (gauge.activation !== null) at(drawn, gauge.activation);
    const numbers = [...values, gauge.activation];
    legend.forEach(({ value }, index) => {
      const number = numbers[index];
      setText(value, number === null || number === undefined ? "–" : formatNumber(number));
    });
    setText(words, gauge.text);
    setText(score, gauge.score?.text ?? "");
    scale.setAttribute("aria-label", gauge.text || text.gaugeSpoken);
    const wanted = gauge.best > 0 ? timesFor(reach) : [];
    if (wanted.join() !== ticks) {
      ticks = wanted.join();
      times.replaceChildren(
        ...wanted.map((ratio) => {
          const tick = el("span", { class: "peek-time" }, `×${ratio.toLocaleString("en")}`);
          tick.style.left = `${(100 * (0.5 + (0.5 * Math.log(ratio)) / Math.log(reach))).toFixed(2)}%`;
          return tick;
        }),
      );
    }
  });
  return [
    words,
    el("div", { class: "peek-scale-box" }, scale, times),
    el("div", { class: "peek-legend" }, ...legend.map(({ item }) => item)),
    score,
  ];
}

/** The ratios labeled under the right half. */
export function timesFor(reach: number): number[] {
  // As many as don't touch where the scale is narrow and the type large.
  return reach <= 10 ? [3, 10] : reach <= 100 ? [3, 10, 100] : [10, reach];
}
