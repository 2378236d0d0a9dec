// The grid of units: a tile is decoded when it comes near the window, and the Tab key stops once.
import { el } from "../ui/dom";
import { fits, type Order, ordered, type Query, type Sheet, type Unit } from "./data";
import { text } from "./text";

/** Pixels beyond the edge of the window within which pictures stay decoded. */
const NEAR = 800;

export interface Grid {
  readonly root: HTMLElement;
  show(order: Order, query: Query): number;
  /** The unit `by` tiles after this one in the order shown; undefined past an end. */
  after(unit: Unit, by: number): Unit | undefined;
  focus(unit: Unit): void;
}

export interface Watcher {
  open(unit: Unit): void;
  /** The pointer or the focus has moved to a tile (null: to none). */
  near(unit: Unit | null, tile: HTMLElement | null): void;
}

export function makeGrid(sheet: Sheet, source: (picture: string) => string, watcher: Watcher): Grid {
  const root = el("div", { class: "grid", role: "group", "aria-label": text.sheet });
  const tiles = new Map<Unit, HTMLButtonElement>();
  const units = new Map<Element, Unit>();
  let shown: Unit[] = [];
  let current: HTMLElement | undefined;

  const seen = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const image = target.querySelector("img");
        const unit = units.get(target);
        if (!image || !unit) continue;
        // Distant ones are released: 2,048 decoded pictures would take some 200 MB.
        if (isIntersecting) image.src = source(unit.p);
        else image.removeAttribute("src");
      }
    },
    { rootMargin: `${NEAR}px` },
  );
  for (const unit of sheet.units) {
    const words = unit.t.join(", ");
    const tile = el(
      "button",
      { type: "button", class: "tile", tabindex: "-1", "aria-label": text.spoken(unit.u, words) },
      el("img", { alt: "", width: sheet.size[1], height: sheet.size[0], decoding: "async" }),
      el("span", { class: "caption" }, el("b", {}, String(unit.u)), ` ${words}`),
    );
    tiles.set(unit, tile);
    units.set(tile, unit);
    seen.observe(tile);
  }

  const tileOf = (event: Event): HTMLElement | null => (event.target as Element).closest<HTMLElement>(".tile");
  const unitOf = (tile: HTMLElement | null): Unit | null => (tile && units.get(tile)) ?? null;
  const stop = (tile: HTMLElement): void => {
    current?.setAttribute("tabindex", "-1");
    tile.setAttribute("tabindex", "0");
    current = tile;
  };
  root.addEventListener("click", (event) => {
    const tile = tileOf(event);
    const unit = unitOf(tile);
    if (!tile || !unit) return;
    stop(tile);
    watcher.open(unit);
  });
  root.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "touch") watcher.near(unitOf(tileOf(event)), tileOf(event));
  });
  root.addEventListener("pointerleave", () => watcher.near(null, null));
  root.addEventListener("focusin", (event) => {
    const tile = tileOf(event);
    if (!tile) return;
    stop(tile);
    if (tile.matches(":focus-visible")) watcher.near(unitOf(tile), tile);
  });
  root.addEventListener("focusout", () => watcher.near(null, null));
  root.addEventListener("keydown", (event) => {
    const unit = unitOf(tileOf(event));
    if (!unit || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = getComputedStyle(root).gridTemplateColumns.split(" ").length;
    const at = shown.indexOf(unit);
    const row = at - (at % columns);
    const to = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at - columns,
      ArrowDown: at + columns,
      PageUp: Math.max(at % columns, at - 4 * columns),
      PageDown: at + 4 * columns < shown.length ? at + 4 * columns : shown.length - 1,
      Home: event.shiftKey ? 0 : row,
      End: event.shiftKey ? shown.length - 1 : Math.min(row + columns, shown.length) - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = shown[to];
    if (next) tiles.get(next)?.focus();
  });

  return {
    root,
    show(order, query) {
      shown = ordered(sheet, order).filter((unit) => fits(unit, query));
      root.replaceChildren(...shown.flatMap((unit) => tiles.get(unit) ?? []));
      const first = shown[0] && tiles.get(shown[0]);
      if (first && !current?.isConnected) stop(first);
      return shown.length;
    },
    after: (unit, by) => shown[shown.indexOf(unit) + by],
    focus: (unit) => tiles.get(unit)?.focus(),
  };
}
