import { el } from "./dom";

/** A part of the bench that one opens when one wants it: a heading to click, or to press Enter or space on. */
export function section(title: string, ...content: HTMLElement[]): HTMLDetailsElement {
  const body = el("div", { class: "peek-section-body" }, ...content);
  return el("details", { class: "peek-section" }, el("summary", { class: "peek-section-title" }, title), body);
}
