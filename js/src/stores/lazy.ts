import { bytesOf } from "../decode";
import type { Binary, ToKernel } from "../protocol.gen";
import type { LazyTopic } from "../topics";
import type { CircuitStore } from "./circuit";
import type { ComparisonStore } from "./comparison";
import type { PhotoStore } from "./photo";
import type { SheetStore } from "./sheet";

/** What the stores need of the lazily loaded script (../lazy/index.ts); panels/lazy.ts takes the panels from it. */
export interface LazyScript {
  SheetStore: typeof SheetStore;
  ComparisonStore: typeof ComparisonStore;
  PhotoStore: typeof PhotoStore;
  CircuitStore: typeof CircuitStore;
}

/** The lazily loaded script and style sheet, with the stores that this model has in it. */
export interface LoadedModule {
  script: LazyScript;
  style: string;
  sheet: SheetStore;
  comparison: ComparisonStore;
  photo: PhotoStore;
  circuit: CircuitStore;
}

/**
 * Loads the panels in lazy/ from the kernel, so that a page is ready sooner and saved notebooks, which contain the rest of
 * the front end, stay small. The kernel sends them when an explorer is displayed, and again when a page asks for them.
 */
export class LazyModule {
  loaded: LoadedModule | undefined;
  /** Panels to open as soon as they can be: what the kernel was already doing when this page was loaded again. */
  readonly requested = new Set<LazyTopic>();
  private loading: Promise<LoadedModule> | undefined;
  /** Messages that came before the script was loaded, since the kernel goes on sending. */
  private backlog: [unknown, readonly Binary[]][] = [];
  private onArrival: (buffers: readonly Binary[]) => void = () => undefined;
  /** Script and style sheet that came without a request: a kernel that is busy answers none. */
  private arrived: readonly Binary[] | null = null;
  /** The host would not import the script: messages are kept for it only while it is tried again. */
  private refused = false;
  private disposed = false;

  constructor(
    private readonly send: (message: ToKernel) => void,
    private readonly onChange: (topic: LazyTopic) => void,
  ) {}

  /** Loads once. Where the host refuses to import the script, the next call tries again. */
  load(): Promise<LoadedModule> {
    this.loading ??= this.fetch()
      .then(({ script, style }) => {
        const sheet = new script.SheetStore(this.send, this.onChange);
        const comparison = new script.ComparisonStore(this.send, () => this.onChange("compared"));
        const photo = new script.PhotoStore(this.send, () => this.onChange("photo"));
        const circuit = new script.CircuitStore(this.send, () => this.onChange("circuit"));
        this.loaded = { script, style, sheet, comparison, photo, circuit };
        this.requested.clear();
        this.arrived = null;
        for (const each of this.backlog) this.receive(...each);
        this.backlog = [];
        if (this.disposed) this.dispose();
        return this.loaded;
      })
      .catch((error) => {
        this.loading = undefined;
        this.refused = true;
        this.backlog = [];
        throw error;
      });
    return this.loading;
  }

  /** Gets script and style sheet from the kernel. */
  async fetch(): Promise<{ script: LazyScript; style: string }> {
    const come = new Promise<readonly Binary[]>((resolve) => {
      this.onArrival = resolve;
      if (!this.arrived) this.send({ kind: "load_module" });
    });
    const [code, style] = this.arrived ?? (await come);
    this.arrived = null;
    const url = URL.createObjectURL(new Blob([bytesOf(code) ?? ""], { type: "text/javascript" }));
    const script: LazyScript = await import(/* @vite-ignore */ url).finally(() => URL.revokeObjectURL(url));
    return { script, style: new TextDecoder().decode(bytesOf(style) ?? undefined) };
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as { kind?: string; open?: boolean; state?: string } | null;
    if (message?.kind === "module") {
      if (!this.loaded) this.arrived = buffers;
      this.onArrival(buffers);
    } else if (this.loaded) {
      for (const store of [this.loaded.sheet, this.loaded.comparison, this.loaded.photo, this.loaded.circuit])
        store.receive(content, buffers);
    } else {
      if (this.loading || !this.refused) this.backlog.push([content, buffers]);
      if (message?.kind === "sheet" && message.open) this.request("sheet");
      if (message?.kind === "compare" && message.state) this.request("compared");
      if (message?.kind === "photo" && message.state) this.request("photo");
      if (message?.kind === "circuit" && message.state) this.request("circuit");
    }
  }

  dispose(): void {
    this.disposed = true;
    this.loaded?.sheet.dispose();
    this.loaded?.comparison.dispose();
    this.loaded?.photo.dispose();
    this.loaded?.circuit.dispose();
  }

  private request(topic: LazyTopic): void {
    this.requested.add(topic);
    this.onChange(topic);
  }
}
