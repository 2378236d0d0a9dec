import type { SheetStore } from "../stores/sheet";
import { slider } from "../ui/controls";
import { el, setText, textButton } from "../ui/dom";
import { throttled, type View, watch } from "../ui/view";
import type { Query, Sort } from "./order";
import { text } from "./text";

/** Thumbnail sizes in pixels, and the index of the one to begin with. */
const SIZES = [48, 64, 80, 96, 112, 128, 160];
const DEFAULT_SIZE = 3;
const SEARCH_INTERVAL_MS = 120;

export interface Toolbar {
  element: HTMLElement;
  /** What went wrong with the sheet. */
  problem: HTMLElement;
  /** Shows how many of all units match the query. */
  showCount(shown: number, total: number): void;
}

/** The controls above the grid: progress, search, order and thumbnail size. They edit `query`, then call `lay`. */
export function sheetToolbar(
  view: View,
  sheet: SheetStore,
  query: Query,
  lay: () => void,
  resize: (tile: number) => void,
): Toolbar {
  const { client, signal } = view;
  const line = el("span", { class: "peek-pass" });
  const go = textButton("", () => sheet.request({ kind: "draw", on: go.dataset.on !== "true" }), signal);
  const problem = el("p", { class: "peek-error", role: "status", tabindex: 0, hidden: true });
  const count = el("span", { class: "peek-of" });
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
      query.sort = sort.value as Sort;
      if (query.sort === "similarity") sheet.request({ kind: "similarity" });
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
  const applySearch = (): void => {
    query.search = search.value;
    lay();
  };
  search.addEventListener("input", throttled(applySearch, SEARCH_INTERVAL_MS, signal), { signal });
  const setSize = (at: number): void => {
    const tile = SIZES[at] ?? 96;
    zoom.show({ maximum: SIZES.length - 1, value: at, spoken: `${tile} px` });
    resize(tile);
  };
  const zoom = slider(text.sheetZoom, setSize, signal);
  setSize(DEFAULT_SIZE);

  watch(view, ["sheet", "layer", "similarity"], () => {
    const { info } = sheet;
    const current = info?.layer === client.wire.get("layer") ? info : null;
    setText(line, current?.text || text.waiting);
    const on = current?.state === "running" || current?.state === "waiting";
    go.dataset.on = String(on);
    setText(go, on ? text.stopDrawing : text.resumeDrawing);
    go.hidden = !current || current.state === "done";
    const wrong = current?.problem || (query.sort === "similarity" && sheet.similarityProblem) || "";
    problem.hidden = !wrong;
    setText(problem, wrong);
  });
  return {
    element: el(
      "div",
      { class: "peek-inline peek-sheet-head" },
      go,
      line,
      el("span", { class: "peek-spring" }),
      count,
      search,
      sort,
      zoom.input,
    ),
    problem,
    showCount: (shown, total) => setText(count, text.shownOf(shown, total)),
  };
}
