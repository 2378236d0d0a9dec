import { bytesOf } from "../decode";
import type { Binary, SheetInfo, SheetThumbs, TagCounts, TagSuggestions, ToKernel, ToPage } from "../protocol.gen";
import type { SheetTopic } from "../topics";

/** The thumbnail of a unit. `url`: object URL of its picture; "" where `problem` says why there is none. */
export interface Thumb {
  url: string;
  activation: number;
  draft: boolean;
  problem: string;
}

const ACK_MS = 200;
const VIEW_MS = 150;

/**
 * The contact sheet of one model, as custom messages bring it: one thumbnail for each unit, whatever the number of views.
 *
 * The kernel sends only a limited number of thumbnails ahead of the acknowledgements. Another sheet replaces them all.
 */
export class SheetStore {
  info: SheetInfo | null = null;
  readonly thumbs = new Map<number, Thumb>();
  similarityOrder: readonly number[] = [];
  /** Why there is no order by similarity. */
  similarityProblem = "";
  counts: TagCounts | null = null;
  suggestions: TagSuggestions | null = null;

  /** Whether a view has opened the tab: what the kernel then does is done for it, and opens no other view's. */
  openedHere = false;
  private readonly openViews = new Set<object>();
  private newest = 0;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private viewTimer: ReturnType<typeof setTimeout> | undefined;
  private viewport: readonly number[] = [];
  private lastViewport = "";
  private disposed = false;

  constructor(
    private readonly send: (message: ToKernel) => void,
    private readonly onChange: (topic: SheetTopic) => void,
  ) {}

  /** A view has opened or closed the sheet. */
  open(view: object, on: boolean): void {
    const before = this.openViews.size > 0;
    this.openedHere = true;
    if (on) this.openViews.add(view);
    else this.openViews.delete(view);
    const now = this.openViews.size > 0;
    if (now === before || this.disposed) return;
    this.send({ kind: "sheet", on: now });
    this.lastViewport = "";
    if (now) this.setViewport(this.viewport);
  }

  /** The units in view, the most wanted first: the kernel draws them in this order. */
  setViewport(units: readonly number[]): void {
    this.viewport = units;
    this.viewTimer ??= setTimeout(() => {
      this.viewTimer = undefined;
      const viewport = this.viewport.join();
      if (viewport === this.lastViewport || this.openViews.size === 0) return;
      this.lastViewport = viewport;
      this.send({ kind: "view", units: [...this.viewport] });
    }, VIEW_MS);
  }

  /** Sends a command of the user. */
  request(message: ToKernel): void {
    this.send(message);
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as ToPage | null;
    switch (message?.kind) {
      case "sheet":
        if (message.sheet !== this.info?.sheet) this.clear();
        this.info = message;
        break;
      case "thumbs":
        if (message.sheet === this.info?.sheet) this.addThumbs(message, buffers);
        break;
      case "similarity":
        if (message.sheet !== this.info?.sheet) break;
        this.similarityOrder = message.units;
        this.similarityProblem = message.problem;
        break;
      case "counts":
        this.counts = message;
        break;
      case "suggestions":
        this.suggestions = message;
        break;
      default:
        return;
    }
    if ("n" in message) this.ack(message.n);
    this.onChange(message.kind);
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.ackTimer);
    clearTimeout(this.viewTimer);
    this.clear();
  }

  private addThumbs(message: SheetThumbs, buffers: readonly Binary[]): void {
    let at = 0;
    for (const [unit, activation, draft, problem] of message.units) {
      const bytes = problem ? null : bytesOf(buffers[at++]);
      const url = bytes ? URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })) : "";
      const old = this.thumbs.get(unit)?.url;
      if (old) URL.revokeObjectURL(old);
      this.thumbs.set(unit, { url, activation: activation ?? Number.NaN, draft, problem });
    }
  }

  private clear(): void {
    for (const { url } of this.thumbs.values()) if (url) URL.revokeObjectURL(url);
    this.thumbs.clear();
    this.similarityOrder = [];
  }

  private ack(n: number): void {
    // Numbers grow; a smaller one comes from a new kernel.
    this.newest = n;
    this.ackTimer ??= setTimeout(() => {
      this.ackTimer = undefined;
      // A closed sheet is not acknowledged: the kernel then stops sending, and soon drawing.
      if (this.openViews.size > 0) this.send({ kind: "sheetack", n: this.newest });
    }, ACK_MS);
  }
}
