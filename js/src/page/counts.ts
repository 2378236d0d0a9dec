// The table of tags. A click on a row shows the units with its tag.
import { el } from "../ui/dom";
import type { Query, Sheet } from "./data";
import { text } from "./text";

export function makeCounts(sheet: Sheet, show: (query: Query) => void): HTMLElement {
  const untagged = sheet.units.filter((unit) => unit.l && unit.t.length === 0).length;
  const button = (words: string, query: Query): HTMLButtonElement => {
    const made = el("button", { type: "button", class: "link" }, words);
    made.addEventListener("click", () => show(query));
    return made;
  };
  const rows = sheet.counts.map(({ word, units, text: count }) => {
    const bar = el("span", { class: "share", "aria-hidden": "true" });
    bar.style.inlineSize = `${(100 * units) / Math.max(1, sheet.seen)}%`;
    return el("tr", {}, el("th", { scope: "row" }, button(word, { tag: word })), el("td", {}, count, bar));
  });
  if (untagged) {
    rows.push(
      el("tr", {}, el("th", { scope: "row" }, button(text.showUntagged, "untagged")), el("td", {}, `${untagged}`)),
    );
  }
  const table = el(
    "table",
    {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, text.word), el("th", { scope: "col" }, text.units))),
    el("tbody", {}, ...rows),
  );
  const body = sheet.seen
    ? [table, el("p", { class: "muted" }, text.reviewed(sheet.seen, sheet.total, untagged))]
    : [el("p", { class: "muted" }, text.noTags)];
  const counts = el("details", { class: "counts" }, el("summary", {}, text.counts), ...body);
  counts.open = sheet.counts.length > 0 && sheet.counts.length <= 12;
  return counts;
}
