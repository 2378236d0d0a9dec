/** Where a view draws: called with the newest picture, at once when it joins and after each decode. */
export type Sink = (picture: ImageBitmap) => void;

interface Frame {
  n: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Through WebCodecs where there are any: a Blob goes through another process first, which takes as long again. */
async function decode(bytes: Uint8Array<ArrayBuffer>): Promise<ImageBitmap> {
  const type = mimeType(bytes);
  if (typeof ImageDecoder === "undefined") return createImageBitmap(new Blob([bytes], { type }));
  const decoder = new ImageDecoder({ data: bytes, type });
  try {
    const { image } = await decoder.decode();
    const picture = await createImageBitmap(image);
    image.close();
    return picture;
  } finally {
    decoder.close();
  }
}

interface Decoded {
  n: number;
  picture: ImageBitmap;
}

/** Python sends JPEG while it runs and PNG when it stops; the first bytes say which. */
export function mimeType(bytes: Uint8Array): string {
  return bytes[0] === 0x89 && bytes[1] === 0x50 ? "image/png" : "image/jpeg";
}

/** How long after a control was used the newest picture goes before an even pace. */
const HURRY_MS = 400;

/**
 * The frames of one model: decoded once, drawn in all its views.
 *
 * One decode at a time and one slot for what comes next: a frame that is overtaken while it waits is
 * never decoded, so a slow browser falls behind by one picture and not by a queue.
 *
 * The way from the kernel holds frames back and lets them go in pairs. Of two that come between two repaints the first
 * would never be seen: so the second waits for the next one, but for when somebody has just used a control.
 */
export class FrameStore {
  received = 0;
  drawn = 0;
  /** Number of the frame last drawn; -1 before the first. */
  n = -1;

  private pending: Frame | null = null;
  private decoding = false;
  private current: ImageBitmap | null = null;
  private held: Decoded | null = null;
  private repaint = 0;
  private hurried = -Infinity;
  private wanted = false;
  private disposed = false;
  private readonly sinks = new Set<Sink>();

  constructor(
    private readonly onDrawn: (n: number) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  offer(n: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.received += 1;
    this.pending = { n, bytes };
    void this.pump();
  }

  /** While nobody can see a view, frames are kept but not decoded. */
  want(on: boolean): void {
    this.wanted = on;
    void this.pump();
  }

  /** A control was used: what shows its effect must not wait. */
  hurry(): void {
    this.hurried = performance.now();
  }

  attach(sink: Sink): () => void {
    this.sinks.add(sink);
    if (this.current) sink(this.current);
    return () => this.sinks.delete(sink);
  }

  dispose(): void {
    this.disposed = true;
    this.pending = null;
    this.sinks.clear();
    cancelAnimationFrame(this.repaint);
    this.held?.picture.close();
    this.current?.close();
    this.held = this.current = null;
  }

  private async pump(): Promise<void> {
    if (this.decoding) return;
    this.decoding = true;
    try {
      while (this.pending && this.wanted && !this.disposed) {
        const frame = this.pending;
        this.pending = null;
        try {
          this.present({ n: frame.n, picture: await decode(frame.bytes) });
        } catch (error) {
          this.onError(error);
        }
      }
    } finally {
      this.decoding = false;
    }
  }

  /** Shows it, or keeps it for the next repaint where this one has its picture. */
  private present(frame: Decoded): void {
    this.held?.picture.close();
    this.held = null;
    if (this.disposed) {
      frame.picture.close();
    } else if (this.repaint && performance.now() - this.hurried > HURRY_MS) {
      this.held = frame;
    } else {
      this.show(frame);
      this.repaint ||= requestAnimationFrame(() => {
        this.repaint = 0;
        if (!this.held) return;
        const next = this.held;
        this.held = null;
        this.present(next);
      });
    }
  }

  private show({ n, picture }: Decoded): void {
    this.current?.close();
    this.current = picture;
    this.n = n;
    this.drawn += 1;
    for (const sink of this.sinks) sink(picture);
    this.onDrawn(n);
  }
}
