import type { LoadedModule } from "../stores/lazy";
import { text } from "../text";
import type { LazyTopic } from "../topics";
import { el, setText } from "../ui/dom";
import { section } from "../ui/section";
import { type View, watch } from "../ui/view";

type Panels = typeof import("../lazy/index");

const panelsOf = (loaded: LoadedModule): Panels => loaded.script as Panels;

/** Replaces `note` by the content of a panel once the module is loaded; until then `note` shows the progress or error. */
async function fill(view: View, note: HTMLElement, content: (loaded: LoadedModule) => HTMLElement[]): Promise<void> {
  const { lazy } = view.client;
  if (!lazy.loaded) setText(note, text.loading);
  try {
    const loaded = await lazy.load();
    if (view.signal.aborted || !note.parentElement) return;
    // One style element for each view: a view that is closed must not take it from the others.
    const styled = note.closest(".peek-root")?.querySelector(".peek-lazy");
    if (!styled) note.before(el("style", { class: "peek-lazy" }, loaded.style));
    note.replaceWith(...content(loaded));
  } catch (error) {
    setText(note, String(error));
  }
}

interface Section {
  title: string;
  topic: LazyTopic;
  content(loaded: LoadedModule): HTMLElement[];
  /** Whether Python, say, has started it: then the section opens by itself. */
  started?(loaded: LoadedModule): boolean;
  /** Called whenever the section is opened or closed. */
  toggled?(loaded: LoadedModule, panel: HTMLElement, open: boolean): void;
}

/** Makes a section that stays empty until it is opened. */
function lazySection(view: View, { title, topic, content, started, toggled }: Section): HTMLElement {
  const { client, signal } = view;
  const { lazy } = client;
  const note = el("p", { class: "peek-help" });
  const panel = section(title, note);
  const onToggle = async (): Promise<void> => {
    if (panel.open) await fill(view, note, content);
    if (lazy.loaded && !signal.aborted) toggled?.(lazy.loaded, panel, panel.open);
  };
  panel.addEventListener("toggle", () => void onToggle(), { signal });
  signal.addEventListener("abort", () => lazy.loaded && toggled?.(lazy.loaded, panel, false), { once: true });
  let before = false;
  watch(view, [topic], () => {
    const now = lazy.requested.has(topic) || Boolean(lazy.loaded && started?.(lazy.loaded));
    if (now && !before) panel.open = true;
    before = now;
  });
  return panel;
}

/** The contact sheet of the layer: nothing in the page or the kernel until it is opened. */
export function sheetPanel(view: View): HTMLElement {
  return lazySection(view, {
    title: text.sheet,
    topic: "sheet",
    content: (loaded) => panelsOf(loaded).sheetContents(view, loaded.sheet),
    toggled: (loaded, panel, open) => loaded.sheet.open(panel, open),
  });
}

/** Pictures side by side. */
export function comparePanel(view: View): HTMLElement {
  return lazySection(view, {
    title: text.compare,
    topic: "compared",
    content: (loaded) => panelsOf(loaded).compareContents(view, loaded.comparison),
    started: (loaded) => Boolean(loaded.comparison.set?.state),
  });
}

/** The picture and the dataset examples on one scale; hidden where there is no dataset. */
export function gaugePanel(view: View): HTMLElement {
  const note = el("p", { class: "peek-help" });
  const panel = el("section", { class: "peek-gauge", "aria-label": text.gauge }, note);
  let requested = false;
  watch(view, ["evidence_status"], () => {
    panel.hidden = !view.client.hasDataset;
    if (panel.hidden || requested) return;
    requested = true;
    void fill(view, note, (loaded) => panelsOf(loaded).gaugeContents(view, panel));
  });
  return panel;
}
