import type { ComparisonStore } from "../lazy/compare";
import { type Binary, bytesOf, type Outbound } from "../protocol";
import type { SheetStore } from "../sheet/store";
import { text } from "../text";
import { el, setText } from "../ui/dom";
import { section } from "../ui/section";
import { type View, watch } from "../ui/view";
import { hasImages } from "./examples";

export type SheetTopic = "sheet" | "thumbs" | "similarity" | "counts" | "suggestions";
export type LaterTopic = SheetTopic | "compared";

type Module = typeof import("../lazy/index");

/** The later part, and what it keeps of this model. */
export interface Loaded extends Module {
  style: string;
  sheet: SheetStore;
  compared: ComparisonStore;
}

/**
 * The way to the panels that not everybody opens (later/): they come from the kernel when the first of them is wanted,
 * so that a page is there sooner and saved notebooks, which keep the front end, stay small.
 */
export class Later {
  parts: Loaded | undefined;
  /** What the kernel is already at, as it told this page before it had a panel for that: a page loaded again. */
  readonly wanted = new Set<LaterTopic>();
  private loading: Promise<Loaded> | undefined;
  /** What came while it was loaded: the kernel goes on at once. */
  private backlog: [unknown, readonly Binary[]][] = [];
  private arrived: (buffers: readonly Binary[]) => void = () => undefined;
  private disposed = false;

  constructor(
    private readonly send: (message: Outbound) => void,
    private readonly onChange: (topic: LaterTopic) => void,
  ) {}

  /** Where the host refuses to load it, the next one who asks tries again. */
  load(): Promise<Loaded> {
    this.loading ??= this.fetch()
      .then(({ module, style }) => {
        const sheet = new module.SheetStore(this.send, this.onChange);
        const compared = new module.ComparisonStore(this.send, () => this.onChange("compared"));
        this.parts = { ...module, style, sheet, compared };
        this.wanted.clear();
        for (const each of this.backlog) this.receive(...each);
        this.backlog = [];
        if (this.disposed) this.dispose();
        return this.parts;
      })
      .catch((error) => {
        this.loading = undefined;
        this.backlog = [];
        throw error;
      });
    return this.loading;
  }

  /** Script and style sheet, as the kernel sends them. */
  async fetch(): Promise<{ module: Module; style: string }> {
    const [script, style] = await new Promise<readonly Binary[]>((resolve) => {
      this.arrived = resolve;
      this.send({ kind: "load_module" });
    });
    const url = URL.createObjectURL(new Blob([bytesOf(script) ?? ""], { type: "text/javascript" }));
    const module: Module = await import(/* @vite-ignore */ url).finally(() => URL.revokeObjectURL(url));
    return { module, style: new TextDecoder().decode(bytesOf(style) ?? undefined) };
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as { kind?: string; open?: boolean; state?: string } | null;
    if (message?.kind === "module") this.arrived(buffers);
    else if (this.parts) for (const store of [this.parts.sheet, this.parts.compared]) store.receive(content, buffers);
    else {
      if (this.loading) this.backlog.push([content, buffers]);
      if (message?.kind === "sheet" && message.open) this.want("sheet");
      if (message?.kind === "compare" && message.state) this.want("compared");
    }
  }

  dispose(): void {
    this.disposed = true;
    this.parts?.sheet.dispose();
    this.parts?.compared.dispose();
  }

  private want(topic: LaterTopic): void {
    this.wanted.add(topic);
    this.onChange(topic);
  }
}

/** Puts the contents of a panel where `note` stands, once they are there; until then `note` says what is the matter. */
async function fill(view: View, note: HTMLElement, contents: (parts: Loaded) => HTMLElement[]): Promise<void> {
  const { later } = view.session;
  if (!later.parts) setText(note, text.loading);
  try {
    const parts = await later.load();
    if (view.signal.aborted || !note.parentElement) return;
    // Once a view is enough, and one that goes must not take it from the others.
    const styled = note.closest(".peek-root")?.querySelector(".peek-later");
    if (!styled) note.before(el("style", { class: "peek-later" }, parts.style));
    note.replaceWith(...contents(parts));
  } catch (error) {
    setText(note, String(error));
  }
}

interface Section {
  title: string;
  topic: LaterTopic;
  contents(parts: Loaded): HTMLElement[];
  /** Whether there is something to show that was asked for elsewhere, in Python say: then it opens by itself. */
  begun?(parts: Loaded): boolean;
  /** Told whenever it is opened or closed. */
  opened?(parts: Loaded, panel: HTMLElement, on: boolean): void;
}

/** A section that is empty until it is opened. */
function laterSection(view: View, { title, topic, contents, begun, opened }: Section): HTMLElement {
  const { session, signal } = view;
  const { later } = session;
  const note = el("p", { class: "peek-help" });
  const panel = section(title, note);
  const toggled = async (): Promise<void> => {
    if (panel.open) await fill(view, note, contents);
    if (later.parts && !signal.aborted) opened?.(later.parts, panel, panel.open);
  };
  panel.addEventListener("toggle", () => void toggled(), { signal });
  signal.addEventListener("abort", () => later.parts && opened?.(later.parts, panel, false), { once: true });
  let before = false;
  watch(view, [topic], () => {
    const now = later.wanted.has(topic) || Boolean(later.parts && begun?.(later.parts));
    if (now && !before) panel.open = true;
    before = now;
  });
  return panel;
}

/** The whole layer: nothing, in the page and in the kernel, until it is opened. */
export function sheetPanel(view: View): HTMLElement {
  return laterSection(view, {
    title: text.sheet,
    topic: "sheet",
    contents: (parts) => parts.sheetContents(view, parts.sheet),
    opened: (parts, panel, on) => parts.sheet.open(panel, on),
  });
}

/** Pictures side by side. */
export function comparePanel(view: View): HTMLElement {
  return laterSection(view, {
    title: text.compare,
    topic: "compared",
    contents: (parts) => parts.compareContents(view, parts.compared),
    begun: (parts) => Boolean(parts.compared.set?.state),
  });
}

/** The drawn picture and the real images on one scale; nothing where there are no images. */
export function gaugePanel(view: View): HTMLElement {
  const note = el("p", { class: "peek-help" });
  const panel = el("section", { class: "peek-gauge", "aria-label": text.gauge }, note);
  let asked = false;
  watch(view, ["evidence_status"], () => {
    panel.hidden = !hasImages(view.session);
    if (panel.hidden || asked) return;
    asked = true;
    void fill(view, note, (parts) => parts.gaugeContents(view, panel));
  });
  return panel;
}
