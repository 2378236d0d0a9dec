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

/** The axis ranges: all finite values, with a margin where all are equal; infinite without any, which is shown as none. */
export function extentOf(points: readonly HistoryPoint[], total: number): Extent {
  const values = points.flatMap((one) => [one.activation, one.low, one.high]).filter(Number.isFinite);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const margin = high - low || Math.max(1e-6, Math.abs(high) * 0.1);
  const end = Math.max(1, total, ...points.map(({ step }) => step));
  return { low: low - margin * 0.04, high: high + margin * 0.04, end };
}

type Value = readonly [step: number, value: number];

/** Values over steps as an SVG path. */
export function pathOf(values: readonly Value[], { low, high, end }: Extent): string {
  return values
    .map(([step, value], at) => {
      const x = ((step / end) * WIDTH).toFixed(2);
      return `${at ? "L" : "M"}${x} ${((1 - (value - low) / (high - low)) * HEIGHT).toFixed(2)}`;
    })
    .join("");
}

/** The edge of the views' values all around, for each point with its neighbors, since a single step has one value. */
export function bandOf(points: readonly HistoryPoint[]): Value[] {
  const reach = Math.ceil(points.length / 50);
  const edge = (sign: number): Value[] =>
    points.map(({ step }, at) => {
      const near = points.slice(Math.max(0, at - reach), at + reach + 1);
      return [step, sign * Math.max(...near.flatMap(({ low, high }) => [sign * low, sign * high]))];
    });
  return [...edge(1), ...edge(-1).reverse()];
}

/** The activation over the steps of the run; what is what stands in the kernel's explanation. */
export function curvePanel(view: View): HTMLElement {
  const { client } = view;
  const band = svg("path", { class: "peek-curve-band" });
  const line = svg("path", { class: "peek-curve-line", "vector-effect": "non-scaling-stroke" });
  const zero = svg("line", { class: "peek-curve-zero", x1: 0, x2: WIDTH, "vector-effect": "non-scaling-stroke" });
  const plot = svg(
    "svg",
    { class: "peek-curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    band,
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
    const measured = points.filter(({ activation }) => Number.isFinite(activation));
    setText(now, client.status.step > 0 ? formatNumber(client.wire.get("activation")) : "–");
    const own = measured.map(({ step, activation }): Value => [step, activation]);
    line.setAttribute("d", pathOf(own, extent));
    band.setAttribute("d", pathOf(bandOf(points), extent));
    const { viewing, step } = client.status;
    const x = String((WIDTH * step) / extent.end);
    cursor.setAttribute("visibility", viewing ? "visible" : "hidden");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const level = (extent.high / (extent.high - extent.low)) * HEIGHT;
    const inside = level > 0 && level < HEIGHT;
    zero.setAttribute("visibility", inside ? "visible" : "hidden");
    for (const end of inside ? ["y1", "y2"] : []) zero.setAttribute(end, level.toFixed(2));
    setText(high, formatNumber(extent.high));
    setText(low, formatNumber(extent.low));
    setText(end, String(extent.end));
    const [first] = measured;
    const last = measured[measured.length - 1];
    if (first && last) {
      plot.setAttribute(
        "aria-label",
        text.curve(formatNumber(first.activation), formatNumber(last.activation), last.step),
      );
    }
  });

  return el(
    "div",
    { class: "peek-group peek-curve-group", title: client.wire.get("_about")?.help?.activation },
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
