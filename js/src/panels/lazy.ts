import type { LoadedModule } from "../stores/lazy";
import { text } from "../text";
import type { LazyTopic } from "../topics";
import { el, setText } from "../ui/dom";
import { explainLabels } from "../ui/help";
import type { Tab } from "../ui/tabs";
import { type View, watch } from "../ui/view";

type Panels = typeof import("../lazy/index");

const panelsOf = (loaded: LoadedModule): Panels => loaded.script as Panels;

/** What stands where a panel will be, until it is loaded; it is seen only if that takes long, so that nothing flashes. */
function noteOf(view: View): HTMLElement {
  const note = el("p", { class: "peek-help peek-loading" });
  watch(view, ["health"], () => {
    if (note.dataset.failed) return;
    setText(note, view.client.connection.health === "gone" ? text.runAgain : text.loading);
  });
  return note;
}

/** Replaces `note` by the content of a panel once the module is loaded; where it can't be, it says why. */
async function fill(view: View, note: HTMLElement, content: (loaded: LoadedModule) => HTMLElement[]): Promise<void> {
  try {
    const loaded = await view.client.lazy.load();
    if (view.signal.aborted || !note.parentElement) return;
    // One style element for each view: a view that is closed must not take it from the others.
    const styled = note.closest(".peek-root")?.querySelector(".peek-lazy");
    if (!styled) note.before(el("style", { class: "peek-lazy" }, loaded.style));
    const made = content(loaded);
    note.replaceWith(...made);
    for (const each of made) explainLabels(view, each);
  } catch (error) {
    note.dataset.failed = "true";
    setText(note, String(error));
  }
}

interface LazyTab extends Omit<Tab, "content" | "wanted" | "toggled"> {
  /** What says that the kernel was at it already when the page was loaded. */
  topic?: LazyTopic;
  content(loaded: LoadedModule): HTMLElement[];
  /** Whether Python, say, has started it: then the tab opens by itself. */
  started?(loaded: LoadedModule): boolean;
  /** Called whenever the tab is opened or closed. */
  toggled?(loaded: LoadedModule, panel: HTMLElement, open: boolean): void;
}

/** Makes a tab that stays empty until it is opened. */
function lazyTab(view: View, { topic, content, started, toggled, ...tab }: LazyTab): Tab {
  const { lazy } = view.client;
  const note = noteOf(view);
  const panel = el("div", { class: "peek-lazy-content" }, note);
  let open = false;
  return {
    topics: topic ? [topic] : [],
    ...tab,
    content: panel,
    wanted: () => Boolean((topic && lazy.requested.has(topic)) || (lazy.loaded && started?.(lazy.loaded))),
    async toggled(now) {
      open = now;
      if (now) await fill(view, note, content);
      // It may have been closed while it was loaded.
      if (lazy.loaded && now === open) toggled?.(lazy.loaded, panel, now && !view.signal.aborted);
    },
  };
}

/** The dataset examples; absent without a dataset. */
export function examplesTab(view: View): Tab {
  return lazyTab(view, {
    id: "examples",
    title: text.realImages,
    topics: ["evidence_status"],
    available: () => view.client.hasDataset,
    initial: true,
    content: (loaded) => panelsOf(loaded).examplesContents(view),
  });
}

/** What is set once and read now and then. */
export function detailsTab(view: View): Tab {
  return lazyTab(view, {
    id: "details",
    title: text.details,
    initial: true,
    content: (loaded) => panelsOf(loaded).detailsContents(view),
  });
}

/** The contact sheet of the layer: nothing in the page or the kernel until it is opened. */
export function sheetTab(view: View): Tab {
  return lazyTab(view, {
    id: "sheet",
    title: text.sheet,
    topic: "sheet",
    content: (loaded) => panelsOf(loaded).sheetContents(view, loaded.sheet),
    // What the kernel was at when the page was loaded opens the tab; what it is told to do here, in any view, does not.
    started: (loaded) => !loaded.sheet.openedHere && Boolean(loaded.sheet.info?.open),
    toggled: (loaded, panel, open) => loaded.sheet.open(panel, open),
  });
}

/** Pictures side by side. */
export function compareTab(view: View): Tab {
  return lazyTab(view, {
    id: "compare",
    title: text.compare,
    topic: "compared",
    content: (loaded) => panelsOf(loaded).compareContents(view, loaded.comparison),
    started: (loaded) => Boolean(loaded.comparison.set?.state),
  });
}

/** A photo of the user's own. */
export function photoTab(view: View): Tab {
  return lazyTab(view, {
    id: "photo",
    title: text.photo,
    topic: "photo",
    content: (loaded) => panelsOf(loaded).photoContents(view, loaded.photo),
    started: (loaded) => Boolean(loaded.photo.seen?.state),
  });
}

/** What feeds the unit, and whom it feeds; found while the tab is open. */
export function circuitTab(view: View): Tab {
  return lazyTab(view, {
    id: "circuit",
    title: text.circuit,
    topic: "circuit",
    content: (loaded) => panelsOf(loaded).circuitContents(view, loaded.circuit),
    started: (loaded) => !loaded.circuit.openedHere && Boolean(loaded.circuit.seen?.state),
    toggled: (loaded, panel, open) => loaded.circuit.open(panel, open),
  });
}

/** The picture and the dataset examples on one scale; hidden where there is no dataset. */
export function gaugePanel(view: View): HTMLElement {
  const note = noteOf(view);
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

/** The list of names below a box, once it is loaded. */
export async function nameList({ client }: View): Promise<Panels["nameList"]> {
  return panelsOf(await client.lazy.load()).nameList;
}

/** The units as thumbnails, which there are once a contact sheet has been opened; nothing before. */
export function unitPickerPlace(view: View): HTMLElement {
  const { lazy } = view.client;
  if (lazy.loaded) return panelsOf(lazy.loaded).unitPicker(view);
  const place = el("span", { hidden: true });
  watch(view, ["sheet"], () => {
    const { loaded } = lazy;
    if (loaded && place.parentElement) place.replaceWith(panelsOf(loaded).unitPicker(view));
  });
  return place;
}
