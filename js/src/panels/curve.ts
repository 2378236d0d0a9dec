import { type HistoryPoint, readHistory } from "../decode";
import { formatNumber } from "../numbers";
import { text } from "../text";
import { el, setText, svg } from "../ui/dom";
import { type View, watchThrottled } from "../ui/view";

const WIDTH = 100;
const HEIGHT = 40;

export interface Extent {
  low: number;
  high: number;
  end: number;
}

/** The axis ranges: all finite points, with a margin where all are equal; null without points. */
export function extentOf(points: readonly HistoryPoint[], total: number): Extent | null {
  let low = Infinity;
  let high = -Infinity;
  let end = Math.max(1, total);
  for (const { step, activation } of points) {
    if (!Number.isFinite(activation)) continue;
    low = Math.min(low, activation);
    high = Math.max(high, activation);
    end = Math.max(end, step);
  }
  if (low > high) return null;
  const margin = high - low || Math.max(1e-6, Math.abs(high) * 0.1);
  return { low: low - margin * 0.04, high: high + margin * 0.04, end };
}

/** The curve as an SVG path, with a gap at each step whose activation is not finite. */
export function pathOf(points: readonly HistoryPoint[], { low, high, end }: Extent): string {
  let path = "";
  let gap = true;
  for (const { step, activation } of points) {
    if (!Number.isFinite(activation)) {
      gap = true;
      continue;
    }
    const x = ((step / end) * WIDTH).toFixed(2);
    const y = ((1 - (activation - low) / (high - low)) * HEIGHT).toFixed(2);
    path += `${gap ? "M" : "L"}${x} ${y}`;
    gap = false;
  }
  return path;
}

/** The activation over the steps of the run. */
export function curvePanel(view: View): HTMLElement {
  const { client } = view;
  const line = svg("path", { class: "peek-curve-line", "vector-effect": "non-scaling-stroke" });
  const zero = svg("line", { class: "peek-curve-zero", x1: 0, x2: WIDTH, "vector-effect": "non-scaling-stroke" });
  const plot = svg(
    "svg",
    { class: "peek-curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    zero,
    line,
  );
  const cursor = svg("line", { class: "peek-curve-zero", y1: 0, y2: HEIGHT, "vector-effect": "non-scaling-stroke" });
  plot.append(cursor);
  const high = el("span");
  const low = el("span");
  const end = el("span");
  const now = el("span", { class: "peek-activation" });

  watchThrottled(view, ["_history", "activation", "status"], 100, () => {
    const points = readHistory(client.wire.get("_history"));
    const extent = extentOf(points, client.status.total);
    const last = points[points.length - 1];
    setText(now, client.status.step > 0 ? formatNumber(client.wire.get("activation")) : "–");
    line.setAttribute("d", extent ? pathOf(points, extent) : "");
    const { viewing, step } = client.status;
    const x = String((WIDTH * step) / (extent?.end ?? 1));
    cursor.setAttribute("visibility", viewing ? "visible" : "hidden");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    if (!extent || !last) {
      zero.setAttribute("visibility", "hidden");
      setText(high, "");
      setText(low, "");
      setText(end, "");
      return;
    }
    const level = (extent.high / (extent.high - extent.low)) * HEIGHT;
    zero.setAttribute("visibility", level > 0 && level < HEIGHT ? "visible" : "hidden");
    zero.setAttribute("y1", level.toFixed(2));
    zero.setAttribute("y2", level.toFixed(2));
    setText(high, formatNumber(extent.high));
    setText(low, formatNumber(extent.low));
    setText(end, String(extent.end));
    plot.setAttribute(
      "aria-label",
      text.curve(formatNumber(points[0]?.activation ?? NaN), formatNumber(last.activation), last.step),
    );
  });

  return el(
    "div",
    { class: "peek-group peek-curve-group" },
    el(
      "div",
      { class: "peek-curve-head" },
      el("span", { class: "peek-label" }, text.activation),
      el("span", { class: "peek-help" }, text.beforeRelu),
      now,
    ),
    el("div", { class: "peek-plot" }, plot, el("div", { class: "peek-axis", "aria-hidden": "true" }, high, low)),
    el("div", { class: "peek-axis peek-steps", "aria-hidden": "true" }, el("span", {}, text.firstStep), end),
  );
}
