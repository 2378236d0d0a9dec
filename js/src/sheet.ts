import { el, setText } from "./dom";
import { type Binary, bytesOf, type Outbound } from "./protocol";
import { section } from "./section";
import type { SheetStore } from "./sheet/store";
import { text } from "./text";
import { type View, watch } from "./view";

export type SheetTopic = "sheet" | "thumbs" | "alike" | "counts" | "suggestions";

/**
 * The way to the contact sheet of one model. What shows it (sheet/) comes from the kernel when it is opened for the
 * first time, so that saved notebooks do without.
 */
export class SheetDoor {
  store: SheetStore | undefined;
  style = "";
  contents: (view: View, store: SheetStore) => HTMLElement[] = () => [];
  /** The kernel is at a sheet that was open: this page is one that was loaded again. */
  wasOpen = false;
  private loading: Promise<SheetStore> | undefined;
  private arrived: (buffers: readonly Binary[]) => void = () => undefined;

  constructor(
    private readonly send: (message: Outbound) => void,
    private readonly onChange: (topic: SheetTopic) => void,
  ) {}

  /** Where the host refuses to load it, the next one who asks tries again. */
  load(): Promise<SheetStore> {
    this.loading ??= new Promise<readonly Binary[]>((resolve) => {
      this.arrived = resolve;
      this.send({ kind: "part" });
    })
      .then(async ([script, style]) => {
        const url = URL.createObjectURL(new Blob([bytesOf(script) ?? ""], { type: "text/javascript" }));
        const { SheetStore, sheetContents } = await import(/* @vite-ignore */ url).finally(() =>
          URL.revokeObjectURL(url),
        );
        this.contents = sheetContents;
        this.style = new TextDecoder().decode(bytesOf(style) ?? undefined);
        this.store = new SheetStore(this.send, this.onChange) as SheetStore;
        return this.store;
      })
      .catch((error) => {
        this.loading = undefined;
        throw error;
      });
    return this.loading;
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as { kind?: string; open?: boolean } | null;
    if (message?.kind === "part") this.arrived(buffers);
    else if (this.store) this.store.receive(content, buffers);
    else if (message?.kind === "sheet" && message.open) {
      this.wasOpen = true;
      this.onChange("sheet");
    }
  }

  dispose(): void {
    this.store?.dispose();
  }
}

/** The panel of the whole layer: nothing, in the page and in the kernel, until it is opened. */
export function sheetPanel(view: View): HTMLElement {
  const { session, signal } = view;
  const { sheet } = session;
  const note = el("p", { class: "peek-help" });
  const panel = section(text.sheet, note);
  let filled = false;
  const toggled = async (): Promise<void> => {
    try {
      if (panel.open && !sheet.store) setText(note, text.sheetWaiting);
      const store = panel.open ? await sheet.load() : sheet.store;
      if (signal.aborted || !store) return;
      if (!filled) note.replaceWith(el("style", {}, sheet.style), ...sheet.contents(view, store));
      filled = true;
      store.open(panel, panel.open);
    } catch (error) {
      setText(note, String(error));
    }
  };
  panel.addEventListener("toggle", () => void toggled(), { signal });
  signal.addEventListener("abort", () => sheet.store?.open(panel, false), { once: true });
  watch(view, ["sheet"], () => {
    if (sheet.wasOpen) panel.open = true;
    sheet.wasOpen = false;
  });
  return panel;
}
