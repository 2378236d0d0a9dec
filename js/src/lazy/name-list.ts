import type { NameBox, NameList } from "../ui/combobox";
import { el, setText } from "../ui/dom";
import { nearestName, shorten, shownRows, type TreeRow, treeOf, unfoldedFor } from "../ui/tree";
import { text } from "./text";

/** More matches than these nobody reads. */
const MOST_ROWS = 400;

/**
 * Makes the list below a box: the names that contain what is typed there, or a tree of all names whose modules can be
 * folded (WAI: editable combobox, with a tree popup). Enter takes the active row; a name that there is not is said to be
 * none.
 */
export function nameList({ label, input, box, entries, current, choose, restore, signal }: NameBox): NameList {
  const key = Math.random().toString(36).slice(2);
  const list = el("div", { class: "peek-list", role: "tree", id: `peek-list-${key}`, "aria-label": label });
  const note = el("p", { class: "peek-list-note", role: "status" });
  const popup = el("div", { class: "peek-list-popup", hidden: true }, list, note);
  input.setAttribute("aria-controls", list.id);
  box.append(popup);
  let tree: TreeRow[] = [];
  let unfolded = new Set<string>();
  let rows: TreeRow[] = [];
  let active = -1;

  const name = (): string => entries()[current()]?.name ?? "";
  const isOpen = (): boolean => !popup.hidden;

  /** The rows that match what was typed, the first that is called so before all that only contain it. */
  const matching = (typed: string): TreeRow[] => {
    const found = entries()
      .map((entry, at) => ({ path: entry.name, label: entry.name, level: 1, at, folder: false }))
      .filter(({ path }) => path.toLowerCase().includes(typed));
    const exact = found.findIndex(({ path }) => path.toLowerCase() === typed);
    return exact > 0 ? [...found.splice(exact, 1), ...found] : found;
  };

  const paintActive = (): void => {
    [...list.children].forEach((row, at) => row.classList.toggle("peek-list-active", at === active));
    const row = list.children[active];
    if (row) input.setAttribute("aria-activedescendant", row.id);
    else input.removeAttribute("aria-activedescendant");
    row?.scrollIntoView?.({ block: "nearest" });
  };

  const render = (): void => {
    const typed = input.value.trim().toLowerCase();
    const searching = typed !== "" && typed !== name().toLowerCase();
    rows = (searching ? matching(typed) : shownRows(tree, unfolded)).slice(0, MOST_ROWS);
    list.replaceChildren(...rows.map((row, number) => rowOf(row, number)));
    active = searching ? Math.min(0, rows.length - 1) : rows.findIndex(({ at }) => at >= 0 && at === current());
    const unknown = searching && rows.length === 0;
    const near = unknown
      ? nearestName(
          entries().map((entry) => entry.name),
          typed,
        )
      : undefined;
    setText(
      note,
      unknown
        ? [text.unknownName(input.value.trim(), label), near && text.nearest(near)].filter(Boolean).join(" ")
        : "",
    );
    if (unknown) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    paintActive();
  };

  const rowOf = (row: TreeRow, number: number): HTMLElement => {
    const facts = (entries()[row.at]?.detail ?? "").split("\t");
    const sign = el("span", { class: "peek-list-sign", "aria-hidden": "true" }, row.folder ? "▸" : "");
    const made = el(
      "div",
      {
        class: "peek-list-row",
        role: "treeitem",
        id: `${list.id}-${number}`,
        title: row.path,
        "aria-level": row.level,
        "aria-selected": String(row.at >= 0 && row.at === current()),
        "aria-expanded": row.folder ? String(unfolded.has(row.path)) : undefined,
      },
      sign,
      el("span", { class: "peek-list-name" }, shorten(row.label, 40)),
      ...facts.filter((_, at) => facts.length > 1 || facts[at]).map((fact) => el("span", { class: "peek-of" }, fact)),
    );
    made.style.setProperty("--level", String(row.level - 1));
    return made;
  };

  const fold = (row: TreeRow, open = !unfolded.has(row.path)): void => {
    if (open) unfolded.add(row.path);
    else unfolded.delete(row.path);
    render();
    active = rows.findIndex(({ path }) => path === row.path);
    paintActive();
  };
  const open = (): void => {
    if (isOpen()) return;
    popup.hidden = false;
    unfolded = unfoldedFor(tree, name());
    input.setAttribute("aria-expanded", "true");
    render();
  };
  const close = (): void => {
    popup.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    list.replaceChildren();
    restore();
  };
  const take = (row: TreeRow | undefined): void => {
    if (!row) return;
    if (row.at < 0) {
      fold(row);
      return;
    }
    close();
    if (row.at !== current()) choose(row.at);
    input.select();
  };

  const keys = (event: KeyboardEvent): boolean => {
    const row = rows[active];
    if (!isOpen()) {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp" && event.key !== "Enter") return false;
      open();
      return true;
    }
    const atEnd = input.selectionStart === input.value.length || input.selectionStart !== input.selectionEnd;
    switch (event.key) {
      case "ArrowDown":
        active = Math.min(active + 1, rows.length - 1);
        break;
      case "ArrowUp":
        active = Math.max(active - 1, 0);
        break;
      case "PageDown":
        active = Math.min(active + 10, rows.length - 1);
        break;
      case "PageUp":
        active = Math.max(active - 10, 0);
        break;
      case "ArrowRight":
        if (!row?.folder || unfolded.has(row.path) || !atEnd) return false;
        fold(row, true);
        return true;
      case "ArrowLeft":
        if (!row?.folder || !unfolded.has(row.path) || !atEnd) return false;
        fold(row, false);
        return true;
      case "Enter":
        take(row);
        return true;
      case "Escape":
        close();
        input.select();
        return true;
      default:
        return false;
    }
    paintActive();
    return true;
  };
  input.addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !keys(event)) return;
      // Escape must not close a large example too.
      event.preventDefault();
    },
    { signal },
  );
  input.addEventListener("click", open, { signal });
  input.addEventListener("blur", close, { signal });
  input.addEventListener(
    "input",
    () => {
      open();
      render();
    },
    { signal },
  );
  list.addEventListener(
    "click",
    (event) => {
      const target = event.target as Element;
      const row = rows[[...list.children].indexOf(target.closest("[role=treeitem]") as Element)];
      if (row?.folder && (row.at < 0 || target.matches(".peek-list-sign"))) fold(row);
      else take(row);
    },
    { signal },
  );
  // A press on a row must not take the focus from the box, which would close the list.
  popup.addEventListener("pointerdown", (event) => event.preventDefault(), { signal });
  popup.addEventListener("mousedown", (event) => event.preventDefault(), { signal });

  return {
    isOpen,
    update() {
      const known = entries();
      // Names of classes are no modules: "St. Bernard" is nothing within "St".
      tree = known.some(({ detail }) => detail)
        ? treeOf(known.map((entry) => entry.name))
        : known.map((entry, at) => ({ path: entry.name, label: entry.name, level: 1, at, folder: false }));
    },
  };
}
