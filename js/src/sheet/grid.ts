import { el, setText } from "../ui/dom";
import type { View } from "../ui/view";
import { fitted, type Rows, rowsInView } from "./layout";
import type { Selection } from "./selection";

const GAP = 6;
const CAPTION = 18;
const SPARE_ROWS = 2;

/** What a tile shows of its unit. */
export interface Tile {
  url: string;
  draft: boolean;
  tags: string;
  /** The tag that is only suggested. */
  suggestion: string;
  /** The description for screen readers and the tooltip. */
  spoken: string;
  /** Whether the explorer shows this unit. */
  current: boolean;
}

export interface SheetGrid {
  element: HTMLElement;
  columns: number;
  /** Number of rows in view. */
  page: number;
  /** Lays out the units in this order. */
  lay(units: readonly number[]): void;
  /** Sets the size of the tiles in pixels, about: they fill the width. */
  zoom(tile: number): void;
  /** Updates the tiles in view after something about their units has changed. */
  refresh(): void;
  /** Scrolls to a unit, and focuses it if `focus` is set. */
  show(unit: number, focus: boolean): void;
}

interface Cell {
  element: HTMLElement;
  spoken: HTMLElement;
  image: HTMLImageElement;
  number: HTMLElement;
  tags: HTMLElement;
  suggestion: HTMLElement;
  unit: number;
}

interface Row {
  element: HTMLElement;
  cells: Cell[];
}

/**
 * A grid of thousands of tiles, of which only the rows in view are in the page. The row with the focus always stays in
 * it: the focus would otherwise fall back to the body, and the keys with it.
 */
export function sheetGrid(
  view: View,
  label: string,
  selection: Selection,
  tileOf: (unit: number) => Tile,
  onView: (units: readonly number[]) => void,
): SheetGrid {
  const canvas = el("div", { class: "peek-sheet-canvas", role: "presentation" });
  const element = el("div", { class: "peek-sheet-grid", role: "grid", "aria-label": label }, canvas);
  element.setAttribute("aria-multiselectable", "true");
  const rows = new Map<number, Row>();
  const unused: Row[] = [];
  let units: readonly number[] = [];
  let indexOf = new Map<number, number>();
  let wanted = 96;
  let tile = wanted;
  let columns = 1;
  let frame = 0;
  let shown: Rows = { first: 0, end: 0 };
  const rowHeight = (): number => tile + CAPTION + GAP;

  const newCell = (): Cell => {
    const image = el("img", { class: "peek-sheet-tile-picture", alt: "", draggable: "false", decoding: "async" });
    const number = el("span", { class: "peek-sheet-tile-unit" });
    const tags = el("span", { class: "peek-sheet-tile-tags" });
    const suggestion = el("span", { class: "peek-sheet-tile-suggestion" });
    const caption = el("span", { class: "peek-sheet-tile-caption", "aria-hidden": "true" }, number, tags, suggestion);
    const spoken = el("span", { class: "peek-visually-hidden" });
    return {
      element: el("div", { class: "peek-sheet-tile", role: "gridcell", tabindex: -1 }, spoken, image, caption),
      spoken,
      image,
      number,
      tags,
      suggestion,
      unit: -1,
    };
  };

  const paint = (cell: Cell): void => {
    const { unit, element: box, image } = cell;
    const { url, draft, tags, suggestion, spoken, current } = tileOf(unit);
    if (image.getAttribute("src") !== url) {
      if (url) image.src = url;
      else image.removeAttribute("src");
    }
    image.hidden = !url;
    setText(cell.number, String(unit));
    setText(cell.tags, tags);
    setText(cell.suggestion, suggestion);
    box.className = `peek-sheet-tile${draft ? " peek-sheet-tile-draft" : ""}${tags ? " peek-sheet-tile-tagged" : ""}`;
    box.title = spoken;
    setText(cell.spoken, spoken);
    box.setAttribute("aria-selected", String(selection.units.has(unit)));
    if (current) box.setAttribute("aria-current", "true");
    else box.removeAttribute("aria-current");
    box.tabIndex = unit === selection.active ? 0 : -1;
  };

  const fill = (at: number, row: Row): void => {
    row.element.style.transform = `translateY(${at * rowHeight()}px)`;
    row.element.setAttribute("aria-rowindex", String(at + 1));
    while (row.cells.length < columns) {
      const cell = newCell();
      cell.element.setAttribute("aria-colindex", String(row.cells.length + 1));
      row.cells.push(cell);
      row.element.append(cell.element);
    }
    for (const extra of row.cells.splice(columns)) extra.element.remove();
    row.cells.forEach((cell, column) => {
      const unit = units[at * columns + column];
      cell.element.hidden = unit === undefined;
      cell.unit = unit ?? -1;
      cell.element.dataset.unit = String(cell.unit);
      if (unit !== undefined) paint(cell);
    });
  };

  const count = (): number => Math.ceil(units.length / columns);
  const activeRow = (): number => Math.floor((indexOf.get(selection.active) ?? -1) / columns);

  const render = (repaint: boolean): void => {
    const height = element.clientHeight;
    shown = rowsInView(element.scrollTop, height, rowHeight(), count(), SPARE_ROWS);
    const focused = activeRow();
    for (const [at, row] of rows) {
      if ((at >= shown.first && at < shown.end) || (at === focused && at < count())) continue;
      rows.delete(at);
      row.element.hidden = true;
      for (const cell of row.cells) cell.element.removeAttribute("data-unit");
      unused.push(row);
    }
    const places = Array.from({ length: shown.end - shown.first }, (_, each) => shown.first + each);
    if (focused >= 0 && (focused < shown.first || focused >= shown.end)) places.push(focused);
    for (const at of places) {
      const there = rows.get(at);
      if (there && !repaint) continue;
      const row = there ?? unused.pop() ?? { element: el("div", { class: "peek-sheet-row", role: "row" }), cells: [] };
      if (!there) {
        rows.set(at, row);
        row.element.hidden = false;
        if (!row.element.isConnected) canvas.append(row.element);
      }
      fill(at, row);
    }
    const inView = rowsInView(element.scrollTop, height, rowHeight(), count(), 0);
    onView(units.slice(inView.first * columns, inView.end * columns));
  };

  const layOut = (): void => {
    const width = element.clientWidth - 2 * GAP;
    ({ columns, tile } = fitted(width, wanted, GAP));
    element.style.setProperty("--tile", `${tile}px`);
    canvas.style.height = `${count() * rowHeight()}px`;
    element.setAttribute("aria-rowcount", String(count()));
    element.setAttribute("aria-colcount", String(columns));
    render(true);
  };

  const renderSoon = (): void => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      render(false);
    });
  };
  element.addEventListener("scroll", renderSoon, { signal: view.signal, passive: true });
  view.signal.addEventListener("abort", () => cancelAnimationFrame(frame), { once: true });
  if (typeof ResizeObserver !== "undefined") {
    const observer = new ResizeObserver(layOut);
    observer.observe(element);
    view.signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  }

  return {
    element,
    get columns() {
      return columns;
    },
    get page() {
      return Math.max(1, Math.floor(element.clientHeight / rowHeight()));
    },
    lay(next) {
      units = next;
      indexOf = new Map(next.map((unit, at) => [unit, at]));
      layOut();
    },
    zoom(next) {
      // The top row stays at the top.
      const top = Math.floor(element.scrollTop / rowHeight()) * columns;
      wanted = next;
      layOut();
      element.scrollTop = Math.floor(top / columns) * rowHeight();
      render(false);
    },
    refresh: () => {
      for (const row of rows.values()) for (const cell of row.cells) if (cell.unit >= 0) paint(cell);
    },
    show(unit, focus) {
      const at = indexOf.get(unit);
      if (at === undefined) return;
      const top = Math.floor(at / columns) * rowHeight();
      const { scrollTop, clientHeight } = element;
      if (top < scrollTop) element.scrollTop = top;
      else if (top + rowHeight() > scrollTop + clientHeight) element.scrollTop = top + rowHeight() - clientHeight + GAP;
      render(true);
      const cell = rows.get(Math.floor(at / columns))?.cells[at % columns];
      if (focus) cell?.element.focus({ preventScroll: true });
    },
  };
}
