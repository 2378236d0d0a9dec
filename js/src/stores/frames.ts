/** A VideoFrame is drawn directly: converting it to an ImageBitmap first converts colors on the main thread. */
export type Picture = ImageBitmap | VideoFrame;

/** Draws pictures in a view: called with the current picture when it is attached, and with each new one. */
export type Sink = (picture: Picture) => void;

interface Frame {
  n: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Decodes with WebCodecs where the browser has it: a Blob goes through another process first, which takes as long again. */
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

/** The type of an image by its first bytes: Python sends JPEG while it runs and PNG when it stops. */
export function mimeType(bytes: Uint8Array): string {
  return bytes[0] === 0x89 && bytes[1] === 0x50 ? "image/png" : "image/jpeg";
}

/** How many decoded pictures may wait for a repaint of their own: a burst of frames is shown one by one. */
const MAX_QUEUED = 2;

/** How long after the use of a control the newest picture is shown immediately. */
const HURRY_MS = 400;

/**
 * The frames of one model: decoded once, drawn in all its views.
 *
 * There is one decode at a time and one slot for the next frame. A frame that is superseded while it waits is never
 * decoded, so that a slow browser lags by a few pictures and not by a growing queue.
 *
 * Frames arrive from the kernel in bursts. Of two drawn before the same repaint the first would never be visible, so
 * each gets a repaint of its own, except shortly after the use of a control.
 */
export class FrameStore {
  received = 0;
  drawn = 0;
  /** Number of the frame last drawn; -1 before the first. */
  n = -1;

  private pending: Frame | null = null;
  private decoding = false;
  private current: Picture | null = null;
  private queue: Decoded[] = [];
  private repaint = 0;
  private hurriedAt = -Infinity;
  private visible = false;
  private disposed = false;
  private readonly sinks = new Set<Sink>();

  constructor(
    private readonly onDrawn: (n: number) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Takes a new frame, in place of one that still waits. */
  offer(n: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.received += 1;
    this.pending = { n, bytes };
    void this.pump();
  }

  /** Whether a view is visible; while none is, only the newest frame is kept and nothing is decoded. */
  setVisible(on: boolean): void {
    this.visible = on;
    void this.pump();
  }

  /** A control was used: the pictures that show its effect must not wait. */
  hurry(): void {
    this.hurriedAt = performance.now();
  }

  /** Adds a sink; the returned function removes it. */
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
    this.clearQueue();
    this.current?.close();
    this.current = null;
  }

  private async pump(): Promise<void> {
    if (this.decoding) return;
    this.decoding = true;
    try {
      while (this.pending && this.visible && !this.disposed) {
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

  /** Shows at the next free repaint, or immediately after the use of a control. */
  private present(frame: Decoded): void {
    if (this.disposed) {
      frame.picture.close();
    } else if (performance.now() - this.hurriedAt < HURRY_MS) {
      this.clearQueue();
      this.show(frame);
    } else {
      this.queue.push(frame);
      if (this.queue.length > MAX_QUEUED) this.queue.shift()?.picture.close();
      this.repaint ||= requestAnimationFrame(this.showNext);
    }
  }

  private readonly showNext = (): void => {
    const next = this.queue.shift();
    this.repaint = this.queue.length > 0 ? requestAnimationFrame(this.showNext) : 0;
    if (next) this.show(next);
  };

  private clearQueue(): void {
    for (const { picture } of this.queue) picture.close();
    this.queue = [];
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
