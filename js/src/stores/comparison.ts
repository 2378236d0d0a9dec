import type { Binary, ComparisonSet, ToKernel, ToPage } from "../protocol.gen";
import { decodeImage } from "./images";

/** Acknowledgements are few and cumulative: each makes JupyterLab repaint its kernel status. */
const ACK_MS = 250;

/** What pictures can be compared by. */
export type CompareKind = "recipes" | "seeds" | "units";

/** The compared pictures of one model. One whole set is decoded at a time; of the sets that wait, only the newest is. */
export class ComparisonStore {
  set: ComparisonSet | null = null;
  pictures: (ImageBitmap | null)[] = [];
  private waiting: { n: number; buffers: readonly Binary[] } | null = null;
  private decoding = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private newest = 0;
  private disposed = false;

  constructor(
    private readonly send: (message: ToKernel) => void,
    private readonly onChange: () => void,
  ) {}

  draw(what: CompareKind, values: readonly (string | number)[]): void {
    this.send({ kind: "compare", what, values });
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as ToPage | null;
    if (message?.kind !== "compare") return;
    this.set = message;
    if (buffers.length > 0) {
      this.waiting = { n: message.n, buffers };
      void this.pump();
    } else if (message.items.length !== this.pictures.length) {
      this.clear();
    }
    this.onChange();
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
    this.clear();
  }

  private clear(): void {
    this.waiting = null;
    for (const picture of this.pictures) picture?.close();
    this.pictures = [];
  }

  private async pump(): Promise<void> {
    if (this.decoding) return;
    this.decoding = true;
    while (this.waiting) {
      const { n, buffers } = this.waiting;
      this.waiting = null;
      const pictures = await Promise.all(buffers.map(decodeImage));
      const stale = this.disposed || this.set?.items.length !== pictures.length;
      for (const picture of stale ? pictures : this.pictures) picture?.close();
      if (stale) continue;
      this.pictures = pictures;
      this.ack(n);
      this.onChange();
    }
    this.decoding = false;
  }

  private ack(n: number): void {
    this.newest = n;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.send({ kind: "compare_ack", n: this.newest });
    }, ACK_MS);
  }
}
