/** Where a view draws: called with the newest picture, at once when it joins and after each decode. */
export type Sink = (picture: ImageBitmap) => void;

interface Frame {
  n: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Python sends JPEG while it runs and PNG when it stops; the first bytes say which. */
export function mimeType(bytes: Uint8Array): string {
  return bytes[0] === 0x89 && bytes[1] === 0x50 ? "image/png" : "image/jpeg";
}

/**
 * The frames of one model: decoded once, drawn in all its views.
 *
 * One decode at a time and one slot for what comes next: a frame that is overtaken while it waits is
 * never decoded, so a slow browser falls behind by one picture and not by a queue.
 */
export class FrameStore {
  received = 0;
  drawn = 0;
  /** Number of the frame last drawn; -1 before the first. */
  n = -1;

  private pending: Frame | null = null;
  private decoding = false;
  private current: ImageBitmap | null = null;
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

  attach(sink: Sink): () => void {
    this.sinks.add(sink);
    if (this.current) sink(this.current);
    return () => this.sinks.delete(sink);
  }

  dispose(): void {
    this.disposed = true;
    this.pending = null;
    this.sinks.clear();
    this.current?.close();
    this.current = null;
  }

  private async pump(): Promise<void> {
    if (this.decoding) return;
    this.decoding = true;
    try {
      while (this.pending && this.wanted && !this.disposed) {
        const frame = this.pending;
        this.pending = null;
        try {
          const blob = new Blob([frame.bytes], { type: mimeType(frame.bytes) });
          this.show(frame.n, await createImageBitmap(blob));
        } catch (error) {
          this.onError(error);
        }
      }
    } finally {
      this.decoding = false;
    }
  }

  private show(n: number, picture: ImageBitmap): void {
    if (this.disposed) {
      picture.close();
      return;
    }
    this.current?.close();
    this.current = picture;
    this.n = n;
    this.drawn += 1;
    for (const sink of this.sinks) sink(picture);
    this.onDrawn(n);
  }
}
