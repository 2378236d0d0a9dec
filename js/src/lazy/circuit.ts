import { formatNumber } from "../numbers";
import type { CircuitRow, CircuitSeen, CircuitTarget } from "../protocol.gen";
import type { CircuitStore, UnitAt } from "../stores/circuit";
import { el, iconButton, setText, textButton } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { text } from "./text";

/** How long the pointer rests on a unit before its crops are shown: on the way to them it crosses others. */
const REST_MS = 180;

const nameOf = ({ layer, unit }: UnitAt): string => `${layer || text.circuitOutput}:${unit}`;
const same = (one: UnitAt, other: UnitAt): boolean => one.layer === other.layer && one.unit === other.unit;

/** What feeds the unit shown, whom it feeds, and a way to walk from one to the next. */
export function circuitContents(view: View, circuit: CircuitStore): HTMLElement[] {
  const { client, signal } = view;
  const line = el("p", { class: "peek-help", role: "status" });
  const problem = el("p", { class: "peek-error", role: "alert" });
  const trail = el("nav", { class: "peek-circuit-trail", "aria-label": text.circuitTrail });
  const remarks = el("div", { class: "peek-help peek-circuit-remarks" });
  const lists = (["excite", "inhibit", "feeds"] as const).map((kind) => {
    const list = el("ul", { class: "peek-circuit-list", "aria-label": text.circuitLists[kind] });
    const part = el(
      "section",
      { class: `peek-circuit-part peek-circuit-${kind}`, "aria-label": text.circuitLists[kind] },
      el("h3", { class: "peek-label" }, text.circuitLists[kind]),
      list,
    );
    return { kind, list, part };
  });
  const legend = el(
    "p",
    { class: "peek-circuit-legend peek-help" },
    ...(["weight", "contribution", "effect"] as const).map((kind) =>
      el(
        "span",
        { class: "peek-key" },
        el("i", { class: `peek-circuit-swatch peek-circuit-${kind}` }),
        text.circuitNumbers[kind],
      ),
    ),
  );
  const filter = el("canvas", {
    class: "peek-thumb peek-circuit-filter",
    role: "img",
    "aria-label": text.circuitFilter,
  });
  // The crops of the unit under the pointer or the focus, and the drawing without an input
  const cropsTitle = el("p", { class: "peek-label", role: "status" });
  const cropsRow = el("div", { class: "peek-circuit-crops" });
  const lookFor = (): void => {
    if (!circuit.crops) return;
    circuit.askCrops(circuit.crops.of, true);
    focusOn("unit", nameOf(circuit.crops.of));
  };
  const find = textButton(text.circuitFindCrops, lookFor, signal);
  const crops = el(
    "section",
    { class: "peek-circuit-aside peek-circuit-over", "aria-label": text.circuitCrops },
    cropsTitle,
    find,
    cropsRow,
  );
  const heldTitle = el("p", { class: "peek-help", role: "status" });
  const heldFigures = [0, 1].map(() => {
    const canvas = el("canvas", { class: "peek-thumb", role: "img" });
    const caption = el("figcaption", { class: "peek-help" });
    return { canvas, caption, figure: el("figure", {}, canvas, caption) };
  });
  const stop = textButton(
    text.circuitClose,
    () => {
      const of = circuit.without?.of;
      circuit.hold({ layer: "", unit: 0 }, false);
      // The button goes away: back to the one that had opened it.
      if (of) focusOn("held", nameOf(of));
    },
    signal,
  );
  const heldRow = el("div", { class: "peek-circuit-held" }, ...heldFigures.map(({ figure }) => figure), stop);
  const held = el("section", { class: "peek-circuit-aside", "aria-label": text.circuitHeld }, heldTitle, heldRow);
  const root = el(
    "div",
    { class: "peek-circuit" },
    trail,
    line,
    problem,
    held,
    legend,
    filter,
    el("div", { class: "peek-circuit-parts" }, ...lists.map(({ part }) => part)),
    crops,
    remarks,
  );

  const focused = (): HTMLElement | null => {
    const active = (root.getRootNode() as Document | ShadowRoot).activeElement;
    return root.contains(active) ? (active as HTMLElement) : null;
  };
  /** Focuses what has this value of a data attribute. */
  const focusOn = (what: "unit" | "held", value: string): void => {
    const every = [...root.querySelectorAll<HTMLElement>(`[data-${what}]`)];
    every.find((one) => one.dataset[what] === value)?.focus({ preventScroll: true });
  };
  /** Whether the focus is in the panel, or nowhere since what had it was replaced: not where somebody is at work. */
  const free = (): boolean => {
    const within = (root.getRootNode() as Document | ShadowRoot).activeElement;
    if (root.contains(within)) return true;
    return (!within || within === document.body) && (document.activeElement ?? document.body) === document.body;
  };
  let arriving: UnitAt | null = null;
  const go = (to: UnitAt): void => {
    // Whoever walks by keyboard arrives at the name of the unit, from where Tab leads on to what it is made of.
    arriving = focused() ? { layer: to.layer, unit: to.unit } : null;
    circuit.walk(to);
    client.wire.edit({ layer: to.layer, unit: to.unit });
    client.connection.expectReply();
  };
  /** While a button only takes the focus of the one that it replaces: nobody went there. */
  let relisting = false;
  let pointed: UnitAt | null = null;
  let shown: UnitAt = { layer: "", unit: -1 };
  let aimed: UnitAt | null = null;
  let resting: ReturnType<typeof setTimeout> | undefined;
  const leave = (): void => {
    aimed = null;
    clearTimeout(resting);
  };
  signal.addEventListener("abort", leave, { once: true });
  const point = (to: UnitAt): void => {
    if (aimed && same(aimed, to)) return;
    leave();
    aimed = to;
    if (pointed && same(pointed, to)) return;
    resting = setTimeout(() => {
      pointed = to;
      circuit.askCrops(to);
    }, REST_MS);
  };

  /** A button with the unit's picture and name that leads there; its kernel and numbers beside it. */
  const unitButton = (one: UnitAt, label: string, spoken: string): HTMLButtonElement => {
    const picture = circuit.picture(one);
    const thumb = el("canvas", { class: "peek-thumb" });
    paint(thumb, picture?.bitmap ?? null);
    thumb.classList.toggle("peek-circuit-draft", picture?.draft ?? true);
    const button = el(
      "button",
      {
        type: "button",
        class: "peek-tile",
        "data-unit": nameOf(one),
        title: picture?.problem || text.circuitGo(label),
        "aria-label": spoken,
      },
      thumb,
    );
    button.addEventListener("click", () => go(one), { signal });
    // What only comes to lie under a pointer that stands still is not pointed at.
    button.addEventListener("pointermove", () => point(one), { signal });
    button.addEventListener("pointerleave", leave, { signal });
    button.addEventListener("focus", () => relisting || point(one), { signal });
    return button;
  };
  const inputRow = (one: CircuitRow, kernel: ImageBitmap | null, scales: readonly number[]): HTMLElement => {
    const name = nameOf(one);
    const map = el("canvas", {
      class: "peek-circuit-kernel",
      role: "img",
      "aria-label": text.circuitKernel(name),
      title: text.circuitKernelHelp,
    });
    paint(map, kernel);
    const numbers = [one.weight, one.contribution, one.effect];
    const spoken = text.circuitSpoken(
      name,
      ...(numbers.map((n) => (n === null ? null : formatNumber(n))) as [string, string, string | null]),
    );
    const without = iconButton("undo", text.circuitWithout(name), () => circuit.hold(one, true), signal);
    without.classList.add("peek-circuit-without");
    without.dataset.held = name;
    return el(
      "li",
      { class: "peek-circuit-row" },
      unitButton(one, name, spoken),
      map,
      el(
        "div",
        { class: "peek-circuit-words" },
        el("span", { class: "peek-circuit-name", title: name }, name),
        bars(numbers, scales),
      ),
      without,
    );
  };
  const targetRow = (one: CircuitTarget, scale: number): HTMLElement => {
    const label = one.name ? `${one.name}` : nameOf(one);
    const spoken = text.circuitFeedsSpoken(label, formatNumber(one.effect));
    return el(
      "li",
      { class: "peek-circuit-row peek-circuit-target" },
      unitButton(one, label, spoken),
      el(
        "div",
        { class: "peek-circuit-words" },
        el("span", { class: "peek-circuit-name", title: label }, label),
        bars([null, one.guess, one.effect], [0, scale, scale]),
      ),
    );
  };

  const list = (seen: CircuitSeen): void => {
    const { unit, held: without } = focused()?.dataset ?? {};
    const largest = (of: (one: CircuitRow) => number | null): number =>
      Math.max(0, ...seen.inputs.map((one) => Math.abs(of(one) ?? 0)));
    // Contribution and effect are changes of the same activation: one scale for both.
    const change = Math.max(
      largest((one) => one.contribution),
      largest((one) => one.effect),
    );
    const scales = [largest((one) => one.weight), change, change];
    const rows = seen.inputs.map((one, at) => ({ one, row: inputRow(one, circuit.kernels[at] ?? null, scales) }));
    const excites = ({ effect, contribution }: CircuitRow): boolean => (effect ?? contribution) > 0;
    const loss = Math.max(0, ...seen.outputs.map(({ layer, effect }) => (layer ? Math.abs(effect) : 0)));
    const score = Math.max(0, ...seen.outputs.map(({ layer, effect }) => (layer ? 0 : Math.abs(effect))));
    for (const { kind, list: into, part } of lists) {
      const mine =
        kind === "feeds"
          ? seen.outputs.map((one) => targetRow(one, one.layer ? loss : score))
          : rows.filter(({ one }) => excites(one) === (kind === "excite")).map(({ row }) => row);
      into.replaceChildren(...mine);
      part.hidden = mine.length === 0;
    }
    relisting = true;
    if (unit !== undefined) focusOn("unit", unit);
    else if (without !== undefined) focusOn("held", without);
    relisting = false;
  };
  let way = "";
  const walked = (seen: CircuitSeen): void => {
    const now = JSON.stringify([...circuit.trail, { layer: seen.layer, unit: seen.unit }]);
    if (now === way) return;
    way = now;
    const here = el("b", { "aria-current": "location", tabindex: -1 }, nameOf(seen));
    trail.replaceChildren(
      ...circuit.trail.flatMap((one) => [
        textButton(nameOf(one), () => go(one), signal, text.circuitBack(nameOf(one))),
        el("span", { "aria-hidden": "true" }, "›"),
      ]),
      here,
    );
    if (!arriving || !same(seen, arriving)) return;
    if (free()) here.focus({ preventScroll: true });
    arriving = null;
  };

  let listed: unknown[] = [];
  const update = (): void => {
    const { seen, without } = circuit;
    if (!seen) {
      setText(line, text.circuitBegins);
      for (const each of [problem, held, legend, filter, crops, remarks, ...lists.map(({ part }) => part)])
        each.hidden = true;
      return;
    }
    setText(line, seen.state === "none" ? seen.problem : seen.text);
    setText(problem, seen.state === "error" ? seen.problem : "");
    problem.hidden = !problem.textContent;
    remarks.replaceChildren(...seen.remarks.map((one) => el("p", {}, one)));
    remarks.hidden = seen.remarks.length === 0;
    legend.hidden = seen.inputs.length === 0;
    filter.hidden = !circuit.filter;
    paint(filter, circuit.filter);
    if (!same(seen, shown)) {
      pointed = null;
      leave();
    }
    shown = { layer: seen.layer, unit: seen.unit };
    // Only where something in it is new: a button that is replaced while it is pressed would get no click.
    const now = [JSON.stringify([seen.layer, seen.unit, seen.inputs, seen.outputs]), circuit.taken, circuit.kernels];
    if (now.some((each, at) => each !== listed[at])) list(seen);
    listed = now;
    walked(seen);
    showCrops();
    held.hidden = !without;
    if (without) {
      setText(heldTitle, without.of.problem || without.of.text);
      heldFigures.forEach(({ canvas, caption, figure }, at) => {
        const bitmap = without.bitmaps[at] ?? null;
        const words = at ? text.circuitHeldOne(nameOf(without.of)) : text.circuitAsIs;
        figure.hidden = !bitmap;
        canvas.setAttribute("aria-label", words);
        setText(caption, words);
        paint(canvas, bitmap);
      });
    }
    // For tests, as the other data attributes of the root.
    root
      .closest<HTMLElement>(".peek-root")
      ?.setAttribute("data-peek-circuit", `${nameOf(seen)}/${seen.state}/${without?.of.state ?? ""}`);
  };
  let shownCrops: CircuitStore["crops"] = null;
  const showCrops = (): void => {
    const { crops: found } = circuit;
    crops.hidden = !found;
    if (!found || found === shownCrops) return;
    shownCrops = found;
    setText(cropsTitle, found.of.problem || text.circuitCropsOf(nameOf(found.of)));
    find.hidden = !found.of.can_find;
    cropsRow.replaceChildren(
      ...found.of.crops.map(({ activation, label }, at) => {
        const shown = el("canvas", {
          class: "peek-thumb",
          role: "img",
          "aria-label": text.circuitCrop(formatNumber(activation), label),
        });
        paint(shown, found.bitmaps[at] ?? null);
        return shown;
      }),
    );
  };
  watch(view, ["circuit"], update);
  return [root];
}

/** Three bars from a common zero, to the right where positive; a number that is not known yet has none. */
function bars(values: readonly (number | null)[], scales: readonly number[]): HTMLElement {
  const kinds = ["weight", "contribution", "effect"] as const;
  return el(
    "div",
    { class: "peek-circuit-bars", "aria-hidden": "true" },
    ...kinds.flatMap((kind, at) => {
      const value = values[at];
      if (value === undefined || (value === null && kind === "weight")) return [];
      const bar = el("i", { class: `peek-circuit-bar peek-circuit-${kind}` });
      const share = value && scales[at] ? value / scales[at] : 0;
      bar.style.setProperty("--from", `${50 + 50 * Math.min(0, share)}%`);
      bar.style.setProperty("--long", `${50 * Math.abs(share)}%`);
      const number = el("span", {}, value === null ? "…" : formatNumber(value));
      return [el("div", { class: "peek-circuit-number", title: text.circuitNumbers[kind] }, bar, number)];
    }),
  );
}

function paint(canvas: HTMLCanvasElement, bitmap: ImageBitmap | null): void {
  if (!bitmap) return;
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
}
