import type { View } from "../ui/view";
import type { SheetGrid } from "./grid";
import type { Selection } from "./selection";
import type { LayerTags } from "./tags";

/** The index that a key moves to from `at`, among `count` tiles in rows of `columns`; null for any other key. */
export function moved(key: string, at: number, columns: number, count: number, page: number): number | null {
  const steps: Record<string, number> = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: at - columns < 0 ? at : at - columns,
    ArrowDown: at + columns >= count ? at : at + columns,
    PageUp: at - columns * page < 0 ? at % columns : at - columns * page,
    PageDown: Math.min(at + columns * page, count - 1),
    Home: 0,
    End: count - 1,
  };
  const to = steps[key];
  return to === undefined || count === 0 ? null : Math.min(Math.max(to, 0), count - 1);
}

/** The letter of a key press, which may be a tag's shortcut, whatever script the keyboard writes; "" for any other key. */
export function letterOf(key: string, code: string): string {
  if (/^[a-z]$/i.test(key)) return key.toLowerCase();
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  return letter && key.length === 1 && key > "\x7f" ? letter.toLowerCase() : "";
}

/** What keys do besides changing the selection and tags. */
export interface KeyActions {
  /** The units in the order shown. */
  order(): readonly number[];
  /** Selects a unit, or extends the selection to it, and moves the focus there. */
  moveTo(unit: number | undefined, extend: boolean): void;
  /** Opens the active unit in the explorer. */
  open(): void;
  /** Shows a selection that has changed. */
  refresh(): void;
  /** Lets the user define the tag that a letter stands for. */
  defineTag(letter: string): void;
}

/** Makes the grid's keys work: they move, select, open, tag and undo. Any other key is left to the page. */
export function handleKeys(
  view: View,
  grid: SheetGrid,
  selection: Selection,
  tags: LayerTags,
  actions: KeyActions,
): void {
  const command = (event: KeyboardEvent): boolean => {
    const key = event.key.toLowerCase();
    if (key === "a") selection.all(actions.order());
    else if (key === "z" || key === "y") tags.undo(key === "y" || event.shiftKey);
    else return false;
    actions.refresh();
    return true;
  };

  const removeTags = (): void => {
    const tagged = selection.targets.filter((unit) => tags.of(unit)?.length);
    if (tagged.length > 0) tags.set(tagged, [...new Set(tagged.flatMap((unit) => tags.of(unit) ?? []))], false);
  };

  const plain = (event: KeyboardEvent): boolean => {
    const { key, shiftKey } = event;
    const order = actions.order();
    const to = moved(key, order.indexOf(selection.active), grid.columns, order.length, grid.page);
    const letter = letterOf(key, event.code);
    if (to !== null) actions.moveTo(order[to], shiftKey);
    else if (key === "Enter" && !shiftKey) actions.open();
    else if (key === " ") {
      selection.toggle(selection.active);
      actions.refresh();
    } else if (key === "Escape") {
      selection.only(selection.active);
      actions.refresh();
    } else if (key === "0") tags.toggleReviewed(selection.targets);
    else if (key === ".") tags.accept(selection.targets);
    else if (key === "Delete" || key === "Backspace") removeTags();
    else if (letter && !shiftKey) {
      const tag = tags.tagOf(letter);
      if (tag) tags.toggle(selection.targets, tag);
      else actions.defineTag(letter);
    } else return false;
    return true;
  };

  grid.element.addEventListener(
    "keydown",
    (event) => {
      if (event.altKey) return;
      const handled = event.ctrlKey || event.metaKey ? command(event) : plain(event);
      if (!handled) return;
      event.preventDefault();
      event.stopPropagation();
    },
    { signal: view.signal },
  );
}
