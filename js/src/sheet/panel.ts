import { chooseUnit, currentLayer } from "../panels/picker";
import { formatNumber } from "../text";
import { slider } from "../ui/controls";
import { el, iconButton, setText, textButton } from "../ui/dom";
import { throttled, type View, watch, watchCalmly } from "../ui/view";
import { sheetGrid, type Tile } from "./grid";
import { letterOf, moved, ordered, Selection, type Sort } from "./math";
import type { SheetStore } from "./store";
import { keyForm, LayerTags, wordTable } from "./tags";
import { text } from "./text";

const SIZES = [48, 64, 80, 96, 112, 128, 160];
const USUAL = 3;

/** Every unit of the layer: filled in as the kernel draws them, tagged by letters, counted. */
export function sheetContents(view: View, sheet: SheetStore): HTMLElement[] {
  const { session, signal } = view;
  const tags = new LayerTags(session, sheet);
  const selection = new Selection();
  selection.only(session.wire.get("unit"));
  let order: readonly number[] = [];
  const wanted = { total: 0, sort: "unit" as Sort, search: "", word: "" };

  const tileOf = (unit: number): Tile => {
    const thumb = sheet.thumbs.get(unit);
    const words = tags.of(unit);
    const ghost = tags.suggestion(unit);
    const said = words?.join(", ") ?? "";
    const activation = thumb && !thumb.problem ? formatNumber(thumb.activation) : "";
    return {
      url: thumb?.url ?? "",
      draft: thumb?.draft ?? false,
      words: said,
      ghost: ghost?.word ?? "",
      spoken:
        text.tile(unit, wanted.total, said, activation, thumb?.draft ?? false, words !== undefined) +
        (ghost ? text.suggested(ghost.word, ghost.why) : "") +
        (thumb?.problem ? `. ${thumb.problem}` : ""),
      bench: unit === session.wire.get("unit"),
    };
  };
  const grid = sheetGrid(view, text.sheetGrid, selection, tileOf, (units) => {
    const eye = units.includes(selection.active) ? [selection.active] : [];
    sheet.look([...eye, ...units.filter((unit) => unit !== selection.active)]);
  });

  // The order is made when it is asked for, and not again with every tag: what one works on must not jump away.
  const lay = (): void => {
    wanted.total = currentLayer(session)?.channels ?? 0;
    order = ordered(wanted, tags.of, (unit) => sheet.thumbs.get(unit)?.activation ?? Number.NaN, sheet.alike);
    setText(shown, text.shownOf(order.length, wanted.total));
    if (order.length > 0 && !order.includes(selection.active)) selection.only(order[0] ?? 0);
    grid.lay(order);
    saySelection();
  };

  // -- above the grid
  const line = el("span", { class: "peek-pass" });
  const go = textButton("", () => sheet.ask({ kind: "draw", on: go.dataset.on !== "true" }), signal);
  const problem = el("p", { class: "peek-error", role: "status", hidden: true });
  const note = el("p", { class: "peek-help" });
  const shown = el("span", { class: "peek-of" });
  const sorts: [Sort, string][] = [
    ["unit", text.sortUnit],
    ["activation", text.sortActivation],
    ["tag", text.sortTag],
    ["similarity", text.sortSimilarity],
  ];
  const sort = el(
    "select",
    { class: "peek-select", "aria-label": text.sheetSort, title: text.sheetSort },
    ...sorts.map(([value, name]) => el("option", { value }, name)),
  );
  sort.addEventListener(
    "change",
    () => {
      wanted.sort = sort.value as Sort;
      if (wanted.sort === "similarity") sheet.ask({ kind: "similarity" });
      lay();
    },
    { signal },
  );
  const search = el("input", {
    type: "search",
    class: "peek-number peek-sheet-search",
    placeholder: text.sheetSearch,
    "aria-label": text.sheetSearch,
  });
  search.addEventListener(
    "input",
    throttled(
      () => {
        wanted.search = search.value;
        lay();
      },
      120,
      signal,
    ),
    { signal },
  );
  const zoom = slider(text.sheetZoom, (at) => resize(at), signal);
  const resize = (at: number): void => {
    const tile = SIZES[at] ?? 96;
    zoom.show({ maximum: SIZES.length - 1, value: at, spoken: `${tile} px` });
    grid.zoom(tile);
  };

  // -- below it
  const undo = iconButton("undo", text.undo, () => tags.undo(false), signal);
  const redo = iconButton("undo", text.redo, () => tags.undo(true), signal);
  redo.classList.add("peek-mirrored");
  const chosen = el("span", { "aria-live": "polite" });
  const open = (): void => chooseUnit(session, selection.active);
  const openButton = textButton(text.openUnit, open, signal);
  const filter = {
    word: "",
    choose(word: string): void {
      filter.word = wanted.word = filter.word === word ? "" : word;
      words.firstElementChild?.dispatchEvent(new CustomEvent("peek-filter"));
      lay();
    },
  };
  const words = wordTable(view, sheet, tags, filter);
  const form = keyForm(view, sheet, tags, (word) => {
    if (word) tags.put(selection.targets, [word], true);
    grid.show(selection.active, true);
  });
  const saySelection = (): void => setText(chosen, text.selected(selection.targets.length));

  const go_to = (unit: number | undefined, extend: boolean, focus = true): void => {
    if (unit === undefined) return;
    if (extend) selection.extend(unit, order);
    else selection.only(unit);
    grid.show(unit, focus);
    saySelection();
  };
  const changed = (): void => {
    grid.refresh();
    saySelection();
  };

  const unitAt = (event: Event): number | null => {
    const cell = (event.target as Element).closest<HTMLElement>("[data-unit]");
    return cell ? Number(cell.dataset.unit) : null;
  };
  grid.element.addEventListener(
    "click",
    (event) => {
      const unit = unitAt(event);
      if (unit === null) return;
      if (event.shiftKey) selection.extend(unit, order, event.ctrlKey || event.metaKey);
      else if (event.ctrlKey || event.metaKey) selection.toggle(unit);
      else selection.only(unit);
      grid.show(unit, true);
      saySelection();
    },
    { signal },
  );
  // The focus may come by another way than by our keys: a screen reader's, say.
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

  grid.element.addEventListener(
    "keydown",
    (event) => {
      if (event.altKey) return;
      const at = order.indexOf(selection.active);
      const { key } = event;
      if (event.ctrlKey || event.metaKey) {
        const command = key.toLowerCase();
        if (command === "a") selection.all(order);
        else if (command === "z" || command === "y") tags.undo(command === "y" || event.shiftKey);
        else return;
        changed();
      } else {
        const to = moved(key, at, grid.columns, order.length, grid.page);
        const letter = letterOf(key, event.code);
        if (to !== null) go_to(order[to], event.shiftKey);
        else if (key === "Enter" && !event.shiftKey) open();
        else if (key === " ") {
          selection.toggle(selection.active);
          changed();
        } else if (key === "Escape") {
          selection.only(selection.active);
          changed();
        } else if (key === "0") tags.see(selection.targets);
        else if (key === ".") tags.accept(selection.targets);
        else if (key === "Delete" || key === "Backspace") {
          const tagged = selection.targets.filter((unit) => tags.of(unit)?.length);
          if (tagged.length > 0) tags.put(tagged, [...new Set(tagged.flatMap((unit) => tags.of(unit) ?? []))], false);
        } else if (letter && !event.shiftKey) {
          const word = tags.wordOf(letter);
          if (word) tags.toggle(selection.targets, word);
          else form.ask(letter);
        } else return;
      }
      event.preventDefault();
      event.stopPropagation();
    },
    { signal },
  );

  // -- what comes in
  watch(view, ["sheet", "layer", "similarity", "suggestions"], () => {
    const { info } = sheet;
    const mine = info?.layer === session.wire.get("layer") ? info : null;
    setText(line, mine?.text || text.waiting);
    const on = mine?.state === "running" || mine?.state === "waiting";
    go.dataset.on = String(on);
    setText(go, on ? text.stopDrawing : text.resumeDrawing);
    go.hidden = !mine || mine.state === "done";
    const wrong = mine?.problem || (wanted.sort === "similarity" && sheet.notice) || "";
    problem.hidden = !wrong;
    setText(problem, wrong);
    setText(note, sheet.suggestions?.problem ?? "");
  });
  let of = "";
  watch(view, ["layer", "_layer_list", "sheet"], () => {
    const now = `${session.wire.get("layer")} ${currentLayer(session)?.channels} ${sheet.info?.sheet}`;
    if (now === of) return;
    of = now;
    selection.only(session.wire.get("unit"));
    if (wanted.sort === "similarity") sheet.ask({ kind: "similarity" });
    lay();
    grid.show(selection.active, false);
  });
  watchCalmly(view, ["thumbs"], 100, grid.refresh);
  watch(view, ["tags", "unit", "suggestions"], grid.refresh);
  watch(view, ["similarity"], () => wanted.sort === "similarity" && lay());
  watch(view, ["counts"], () => {
    undo.disabled = !sheet.counts?.undo;
    redo.disabled = !sheet.counts?.redo;
  });
  // For tests, as in explorer.ts.
  watch(view, ["thumbs", "sheet", "tags"], () => {
    const said = grid.element.dataset;
    said.drawn = String([...sheet.thumbs.values()].filter((thumb) => !thumb.draft).length);
    said.drafts = String(sheet.thumbs.size);
    said.state = sheet.info?.state ?? "";
    said.tagged = String(
      Object.values(session.wire.get("tags")?.[session.wire.get("layer")] ?? {}).filter((w) => w.length).length,
    );
  });

  resize(USUAL);
  return [
    el(
      "div",
      { class: "peek-inline peek-sheet-head" },
      go,
      line,
      el("span", { class: "peek-spring" }),
      shown,
      search,
      sort,
      zoom.input,
    ),
    problem,
    grid.element,
    el(
      "div",
      { class: "peek-inline peek-sheet-foot" },
      undo,
      redo,
      openButton,
      chosen,
      el("span", { class: "peek-spring" }),
      form.element,
    ),
    words,
    note,
    el("p", { class: "peek-help" }, text.sheetKeys),
  ];
}
