import type { SheetTopic } from "../panels/lazy";
import {
  type Binary,
  bytesOf,
  type Outbound,
  type SheetInbound,
  type SheetInfo,
  type SheetThumbs,
  type TagCounts,
  type TagSuggestions,
} from "../protocol";

/** One unit of the sheet as far as it is drawn. `url`: of its picture; "" where `problem` says why there is none. */
export interface Thumb {
  url: string;
  activation: number;
  draft: boolean;
  problem: string;
}

const ACK_MS = 200;
const VIEW_MS = 150;

/**
 * The contact sheet of one model, as custom messages bring it: one picture a unit, whatever number of views.
 *
 * The kernel sends only as far ahead as is acknowledged. Pictures of a sheet are let go when another one comes.
 */
export class SheetStore {
  info: SheetInfo | null = null;
  readonly thumbs = new Map<number, Thumb>();
  alike: readonly number[] = [];
  /** Why there is no order by likeness. */
  notice = "";
  counts: TagCounts | null = null;
  suggestions: TagSuggestions | null = null;

  private readonly openViews = new Set<object>();
  private newest = 0;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private viewTimer: ReturnType<typeof setTimeout> | undefined;
  private inView: readonly number[] = [];
  private told = "";
  private disposed = false;

  constructor(
    private readonly send: (message: Outbound) => void,
    private readonly onChange: (topic: SheetTopic) => void,
  ) {}

  /** A view shows the sheet, or has put it away. */
  open(view: object, on: boolean): void {
    const before = this.openViews.size > 0;
    if (on) this.openViews.add(view);
    else this.openViews.delete(view);
    const now = this.openViews.size > 0;
    if (now === before || this.disposed) return;
    this.send({ kind: "sheet", on: now });
    this.told = "";
    if (now) this.look(this.inView);
  }

  /** The units in view, the one under the eye first. */
  look(units: readonly number[]): void {
    this.inView = units;
    this.viewTimer ??= setTimeout(() => {
      this.viewTimer = undefined;
      const said = this.inView.join();
      if (said === this.told || this.openViews.size === 0) return;
      this.told = said;
      this.send({ kind: "view", units: [...this.inView] });
    }, VIEW_MS);
  }

  ask(message: Outbound): void {
    this.send(message);
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as SheetInbound | null;
    switch (message?.kind) {
      case "sheet":
        if (message.sheet !== this.info?.sheet) this.drop();
        this.info = message;
        break;
      case "thumbs":
        if (message.sheet === this.info?.sheet) this.take(message, buffers);
        break;
      case "similarity":
        if (message.sheet !== this.info?.sheet) break;
        this.alike = message.units;
        this.notice = message.problem;
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
    this.drop();
  }

  private take(message: SheetThumbs, buffers: readonly Binary[]): void {
    let at = 0;
    for (const [unit, activation, draft, problem] of message.units) {
      const bytes = problem ? null : bytesOf(buffers[at++]);
      const url = bytes ? URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })) : "";
      const old = this.thumbs.get(unit)?.url;
      if (old) URL.revokeObjectURL(old);
      this.thumbs.set(unit, { url, activation: activation ?? Number.NaN, draft, problem });
    }
  }

  private drop(): void {
    for (const { url } of this.thumbs.values()) if (url) URL.revokeObjectURL(url);
    this.thumbs.clear();
    this.alike = [];
  }

  private ack(n: number): void {
    // The kernel counts on; a smaller number is that of a new kernel.
    this.newest = n;
    this.ackTimer ??= setTimeout(() => {
      this.ackTimer = undefined;
      // A sheet that nobody sees is not acknowledged: the kernel then stops sending, and soon drawing.
      if (this.openViews.size > 0) this.send({ kind: "sheetack", n: this.newest });
    }, ACK_MS);
  }
}
