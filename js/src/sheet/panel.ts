import { chooseUnit, currentLayer } from "../layers";
import { formatNumber } from "../numbers";
import type { SheetStore } from "../stores/sheet";
import { el, iconButton, setText, textButton } from "../ui/dom";
import { type View, watch, watchThrottled } from "../ui/view";
import { type SheetGrid, sheetGrid, type Tile } from "./grid";
import { handleKeys } from "./keyboard";
import { ordered, type Query } from "./order";
import { Selection } from "./selection";
import { tagForm } from "./tag-form";
import { tagTable } from "./tag-table";
import { LayerTags } from "./tags";
import { text } from "./text";
import { sheetToolbar } from "./toolbar";

/** The contact sheet of the layer: filled in as the kernel draws it, tagged from the keyboard, counted. */
export function sheetContents(view: View, sheet: SheetStore): HTMLElement[] {
  const { client, signal } = view;
  const tags = new LayerTags(client, sheet);
  const selection = new Selection();
  selection.only(client.wire.get("unit"));
  const query: Query = { total: 0, sort: "unit", search: "", tag: "" };
  let order: readonly number[] = [];

  const grid = sheetGrid(view, text.sheetGrid, selection, tileOf(view, sheet, tags, query), (units) => {
    const active = units.includes(selection.active) ? [selection.active] : [];
    sheet.setViewport([...active, ...units.filter((unit) => unit !== selection.active)]);
  });

  // Units are sorted on request and not after every tag: a unit that one works on must not jump away.
  const lay = (): void => {
    query.total = currentLayer(client)?.channels ?? 0;
    const activation = (unit: number): number => sheet.thumbs.get(unit)?.activation ?? Number.NaN;
    order = ordered(query, tags.of, activation, sheet.similarityOrder);
    toolbar.showCount(order.length, query.total);
    if (order.length > 0 && !order.includes(selection.active)) selection.only(order[0] ?? 0);
    grid.lay(order);
    showSelection();
  };
  const toolbar = sheetToolbar(view, sheet, query, lay, grid.zoom);

  const undo = iconButton("undo", text.undo, () => tags.undo(false), signal);
  const redo = iconButton("undo", text.redo, () => tags.undo(true), signal);
  redo.classList.add("peek-mirrored");
  const selected = el("span", { "aria-live": "polite" });
  const showSelection = (): void => setText(selected, text.selected(selection.targets.length));
  const refresh = (): void => {
    grid.refresh();
    showSelection();
  };
  const open = (): void => chooseUnit(client, selection.active);
  const note = el("p", { class: "peek-help" });
  const table = tagTable(view, sheet, tags, (tag) => {
    query.tag = query.tag === tag ? "" : tag;
    lay();
    return query.tag;
  });
  const form = tagForm(view, sheet, tags, (tag) => {
    if (tag) tags.set(selection.targets, [tag], true);
    grid.show(selection.active, true);
  });

  handlePointer(view, grid, selection, () => order, { open, showSelection });
  handleKeys(view, grid, selection, tags, {
    order: () => order,
    moveTo(unit, extend) {
      if (unit === undefined) return;
      if (extend) selection.extend(unit, order);
      else selection.only(unit);
      grid.show(unit, true);
      showSelection();
    },
    open,
    refresh,
    defineTag: form.ask,
  });

  let before = "";
  watch(view, ["layer", "_layer_list", "sheet"], () => {
    const now = `${client.wire.get("layer")} ${currentLayer(client)?.channels} ${sheet.info?.sheet}`;
    if (now === before) return;
    before = now;
    selection.only(client.wire.get("unit"));
    if (query.sort === "similarity") sheet.request({ kind: "similarity" });
    lay();
    grid.show(selection.active, false);
  });
  watchThrottled(view, ["thumbs"], 100, grid.refresh);
  watch(view, ["tags", "unit", "suggestions"], grid.refresh);
  watch(view, ["similarity"], () => query.sort === "similarity" && lay());
  watch(view, ["suggestions"], () => setText(note, sheet.suggestions?.problem ?? ""));
  watch(view, ["counts"], () => {
    undo.disabled = !sheet.counts?.undo;
    redo.disabled = !sheet.counts?.redo;
  });
  showStateToTests(view, sheet, grid);

  return [
    toolbar.element,
    toolbar.problem,
    grid.element,
    el(
      "div",
      { class: "peek-inline peek-sheet-foot" },
      undo,
      redo,
      textButton(text.openUnit, open, signal),
      selected,
      el("span", { class: "peek-spring" }),
      form.element,
    ),
    table,
    note,
    el("p", { class: "peek-help" }, text.sheetKeys),
  ];
}

/** What the tile of a unit shows. */
function tileOf({ client }: View, sheet: SheetStore, tags: LayerTags, query: Query): (unit: number) => Tile {
  return (unit) => {
    const thumb = sheet.thumbs.get(unit);
    const own = tags.of(unit);
    const suggestion = tags.suggestion(unit);
    const words = own?.join(", ") ?? "";
    const draft = thumb?.draft ?? false;
    const activation = thumb && !thumb.problem ? formatNumber(thumb.activation) : "";
    return {
      url: thumb?.url ?? "",
      draft,
      tags: words,
      suggestion: suggestion?.word ?? "",
      spoken:
        text.tile(unit, query.total, words, activation, draft, own !== undefined) +
        (suggestion ? text.suggested(suggestion.word, suggestion.why) : "") +
        (thumb?.problem ? `. ${thumb.problem}` : ""),
      current: unit === client.wire.get("unit"),
    };
  };
}

/** Makes clicks on tiles select and double clicks open. */
function handlePointer(
  { signal }: View,
  grid: SheetGrid,
  selection: Selection,
  order: () => readonly number[],
  { open, showSelection }: { open(): void; showSelection(): void },
): void {
  const unitAt = (event: Event): number | null => {
    const cell = (event.target as Element).closest<HTMLElement>("[data-unit]");
    return cell ? Number(cell.dataset.unit) : null;
  };
  grid.element.addEventListener(
    "click",
    (event) => {
      const unit = unitAt(event);
      if (unit === null) return;
      const more = event.ctrlKey || event.metaKey;
      if (event.shiftKey) selection.extend(unit, order(), more);
      else if (more) selection.toggle(unit);
      else selection.only(unit);
      grid.show(unit, true);
      showSelection();
    },
    { signal },
  );
  // The focus may also be moved by other means than our keys, by a screen reader for example.
  grid.element.addEventListener(
    "focusin",
    (event) => {
      const unit = unitAt(event);
      if (unit === null || unit === selection.active) return;
      selection.active = unit;
      grid.refresh();
    },
    { signal },
  );
  grid.element.addEventListener("dblclick", (event) => unitAt(event) !== null && open(), { signal });
}

/** Writes the state into data attributes, which tests wait for; nothing else reads them. */
function showStateToTests(view: View, sheet: SheetStore, grid: SheetGrid): void {
  const { wire } = view.client;
  watch(view, ["thumbs", "sheet", "tags"], () => {
    const { dataset } = grid.element;
    dataset.drawn = String([...sheet.thumbs.values()].filter((thumb) => !thumb.draft).length);
    dataset.drafts = String(sheet.thumbs.size);
    dataset.state = sheet.info?.state ?? "";
    const tagged = Object.values(wire.get("tags")?.[wire.get("layer")] ?? {}).filter((tags) => tags.length);
    dataset.tagged = String(tagged.length);
  });
}
