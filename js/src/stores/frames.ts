/** A decoded frame is drawn as it is: to make a bitmap of it first turns its colors on the page's thread, and waits. */
export type Picture = ImageBitmap | VideoFrame;

/** Where a view draws: called with the picture shown last when it joins, and with each that is shown. */
export type Sink = (picture: Picture) => void;

interface Frame {
  n: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Through WebCodecs where there are any: a Blob goes through another process first, which takes as long again. */
async function decode(bytes: Uint8Array<ArrayBuffer>): Promise<Picture> {
  const type = mimeType(bytes);
  if (typeof ImageDecoder === "undefined") return createImageBitmap(new Blob([bytes], { type }));
  const decoder = new ImageDecoder({ data: bytes, type });
  try {
    return (await decoder.decode()).image;
  } finally {
    decoder.close();
  }
}

interface Decoded {
  n: number;
  picture: Picture;
}

/** Python sends JPEG while it runs and PNG when it stops; the first bytes say which. */
export function mimeType(bytes: Uint8Array): string {
  return bytes[0] === 0x89 && bytes[1] === 0x50 ? "image/png" : "image/jpeg";
}

/** Pictures that wait for a repaint each: what came in a bunch is shown one by one, as it was drawn. */
const HELD = 2;

/** How long after a control was used the newest picture is shown at once, and none waits. */
const HURRY_MS = 400;

/**
 * The frames of one model: decoded once, drawn in all its views.
 *
 * One decode at a time and one slot for what comes next: a frame that is overtaken while it waits is
 * never decoded, so a slow browser falls behind by a few pictures and not by a queue.
 *
 * The way from the kernel holds frames back and lets them go in bunches. Of two that were drawn before one repaint the
 * first would never be seen: so each has a repaint of its own, but for when somebody has just used a control.
 */
export class FrameStore {
  received = 0;
  drawn = 0;
  /** Number of the frame last drawn; -1 before the first. */
  n = -1;

  private pending: Frame | null = null;
  private decoding = false;
  private current: Picture | null = null;
  private held: Decoded[] = [];
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
    this.dropHeld();
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
          this.present({ n: frame.n, picture: await decode(frame.bytes) });
        } catch (error) {
          this.onError(error);
        }
      }
    } finally {
      this.decoding = false;
    }
  }

  /** At the next repaint that has no other; at once where the hand waits for it. */
  private present(frame: Decoded): void {
    if (this.disposed) {
      frame.picture.close();
    } else if (performance.now() - this.hurried < HURRY_MS) {
      this.dropHeld();
      this.show(frame);
    } else {
      this.held.push(frame);
      if (this.held.length > HELD) this.held.shift()?.picture.close();
      this.repaint ||= requestAnimationFrame(this.showNext);
    }
  }

  private readonly showNext = (): void => {
    const next = this.held.shift();
    this.repaint = this.held.length > 0 ? requestAnimationFrame(this.showNext) : 0;
    if (next) this.show(next);
  };

  private dropHeld(): void {
    for (const { picture } of this.held) picture.close();
    this.held = [];
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
