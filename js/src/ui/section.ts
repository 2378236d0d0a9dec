import { el } from "./dom";

/** Makes a collapsible section. */
export function section(title: string, ...content: HTMLElement[]): HTMLDetailsElement {
  const body = el("div", { class: "peek-section-body" }, ...content);
  return el("details", { class: "peek-section" }, el("summary", { class: "peek-section-title" }, title), body);
}
