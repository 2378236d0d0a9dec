import { text } from "../text";
import type { Topic } from "../topics";
import { el } from "./dom";
import { type View, watch } from "./view";

/** A tab. What is in it is made at once, or, for one that is loaded when it is opened (panels/lazy.ts), then. */
export interface Tab {
  /** Names the tab to the style sheet and to tests. */
  id: string;
  title: string;
  content: HTMLElement;
  /** Whether the session can have it, looked at again when one of `topics` changes; a tab that it can't have is absent. */
  available?(): boolean;
  /** Whether Python, say, has asked for it: it is opened when this becomes true. */
  wanted?(): boolean;
  topics?: readonly Topic[];
  /** Whether it may be open without having been chosen: one that costs the kernel work may not. */
  initial?: boolean;
  /** Called whenever the tab is opened or closed. */
  toggled?(open: boolean): void;
}

/** Makes the tab list and its panels. Arrows move between the tabs, Enter and Space open one (WAI: manual activation). */
export function tabPanel(view: View, label: string, tabs: readonly Tab[], ...tools: HTMLElement[]): HTMLElement {
  const { signal } = view;
  const key = Math.random().toString(36).slice(2);
  let chosen = false;
  let open: Tab | undefined;
  const list = el("div", { class: "peek-tablist", role: "tablist", "aria-label": label });
  const entries = tabs.map((tab) => {
    const ids = [`peek-tab-${tab.id}-${key}`, `peek-panel-${tab.id}-${key}`] as const;
    const button = el(
      "button",
      { type: "button", class: "peek-tab", role: "tab", id: ids[0], "aria-controls": ids[1] },
      tab.title,
    );
    const panel = el(
      "div",
      {
        class: `peek-tabpanel peek-tab-${tab.id}`,
        role: "tabpanel",
        id: ids[1],
        "aria-labelledby": ids[0],
        tabindex: 0,
      },
      tab.content,
    );
    button.addEventListener(
      "click",
      () => {
        chosen = true;
        select(tab);
      },
      { signal },
    );
    return { tab, button, panel, before: false };
  });
  list.append(...entries.map(({ button }) => button));

  const select = (tab: Tab | undefined): void => {
    const last = open;
    open = tab;
    for (const { tab: each, button, panel } of entries) {
      button.setAttribute("aria-selected", String(each === tab));
      button.tabIndex = each === tab ? 0 : -1;
      panel.hidden = each !== tab;
    }
    if (last === tab) return;
    last?.toggled?.(false);
    tab?.toggled?.(true);
  };
  const possible = (): typeof entries => entries.filter(({ button }) => !button.hidden);
  const update = (): void => {
    for (const { tab, button } of entries) button.hidden = tab.available?.() === false;
    const now = entries.find(({ tab }) => tab === open);
    if (!now || now.button.hidden || !chosen) select(possible().find(({ tab }) => tab.initial)?.tab);
    for (const entry of entries) {
      const wanted = entry.tab.wanted?.() ?? false;
      if (wanted && !entry.before) {
        chosen = true;
        select(entry.tab);
      }
      entry.before = wanted;
    }
  };
  watch(view, [...new Set(tabs.flatMap(({ topics }) => topics ?? []))], update);
  signal.addEventListener("abort", () => open?.toggled?.(false), { once: true });

  list.addEventListener(
    "keydown",
    (event) => {
      const there = possible().map(({ button }) => button);
      const at = there.indexOf(event.target as HTMLButtonElement);
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: there.length - 1 }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      const next = there[(to + there.length) % there.length];
      for (const each of there) each.tabIndex = each === next ? 0 : -1;
      next?.focus();
    },
    { signal },
  );
  // Left without opening another, the list is entered again at the tab that is open.
  list.addEventListener(
    "focusout",
    (event) => {
      if (list.contains(event.relatedTarget as Node | null)) return;
      for (const { tab, button } of entries) button.tabIndex = tab === open ? 0 : -1;
    },
    { signal },
  );
  return el(
    "section",
    { class: "peek-tabs", "aria-label": text.tabs },
    el("div", { class: "peek-tabs-head" }, list, ...tools),
    ...entries.map(({ panel }) => panel),
  );
}
