import { Decoder } from "./decode";

/** Where a view draws: called with the newest picture, at once when it joins and after each decode. */
export type Sink = (picture: ImageBitmap) => void;

interface Frame {
  n: number;
  bytes: Uint8Array<ArrayBuffer>;
}

interface Decoded {
  n: number;
  /** When its decoding began, counted. */
  turn: number;
  picture: ImageBitmap;
}

/** Pictures that wait for a repaint each: what came in a bunch is shown one by one, as it was drawn. */
const HELD = 2;

/** How long after a control was used the newest picture goes before an even pace. */
const HURRY_MS = 400;

/** On a busy page the way to the worker and back takes longer than the decoding: the next goes out meanwhile. */
const DECODES_AT_ONCE = 2;

/**
 * The frames of one model: decoded once, drawn in all its views.
 *
 * Few decodes at a time and one slot for what comes next: a frame that is overtaken while it waits is
 * never decoded, so a slow browser falls behind by two pictures and not by a queue.
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
  private decoding = 0;
  private turn = 0;
  private presented = 0;
  private current: ImageBitmap | null = null;
  private held: Decoded[] = [];
  private repaint = 0;
  private hurried = -Infinity;
  private wanted = false;
  private disposed = false;
  private readonly sinks = new Set<Sink>();
  private readonly decoder = new Decoder();

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
    this.decoder.end();
    cancelAnimationFrame(this.repaint);
    this.dropHeld();
    this.current?.close();
    this.current = null;
  }

  private async pump(): Promise<void> {
    if (this.decoding === DECODES_AT_ONCE) return;
    this.decoding += 1;
    while (this.pending && this.wanted && !this.disposed) {
      const { n, bytes } = this.pending;
      const turn = ++this.turn;
      this.pending = null;
      try {
        this.present({ n, turn, picture: await this.decoder.decode(bytes) });
      } catch (error) {
        this.onError(error);
      }
    }
    this.decoding -= 1;
  }

  /** Shows it, or keeps it for a later repaint where this one has its picture. */
  private present(frame: Decoded): void {
    if (this.disposed || frame.turn < this.presented) {
      frame.picture.close();
      return;
    }
    this.presented = frame.turn;
    if (this.repaint && performance.now() - this.hurried > HURRY_MS) {
      this.held.push(frame);
      if (this.held.length > HELD) this.held.shift()?.picture.close();
      return;
    }
    this.dropHeld();
    this.show(frame);
  }

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
    this.repaint ||= requestAnimationFrame(() => {
      this.repaint = 0;
      const next = this.held.shift();
      if (next) this.show(next);
    });
  }
}
