import type {
  Binary,
  CircuitCrops,
  CircuitPicture,
  CircuitRow,
  CircuitSeen,
  CircuitWithout,
  ToKernel,
  ToPage,
} from "../protocol.gen";
import { decodeImage } from "./images";

/** A unit by layer and number. */
export type UnitAt = Pick<CircuitRow, "layer" | "unit">;

/** A unit's picture as far as it is drawn, or why there is none. */
export interface UnitPicture {
  bitmap: ImageBitmap | null;
  draft: boolean;
  problem: string;
}

const keyOf = ({ layer, unit }: UnitAt): string => `${unit}:${layer}`;
const MOST_PICTURES = 256;

/** What the kernel has found out about the circuit of the unit shown, and the way that was walked to it. */
export class CircuitStore {
  seen: CircuitSeen | null = null;
  /** The kernel of each of `seen.inputs`. */
  kernels: (ImageBitmap | null)[] = [];
  filter: ImageBitmap | null = null;
  crops: { of: CircuitCrops; bitmaps: (ImageBitmap | null)[] } | null = null;
  without: { of: CircuitWithout; bitmaps: (ImageBitmap | null)[] } | null = null;
  /** The units that were walked through, the first first; without the one shown. */
  trail: UnitAt[] = [];
  /** Number of pictures of units that have come. */
  taken = 0;
  /** Whether a view has opened the tab: what the kernel then does is done for it, and opens no other view's. */
  openedHere = false;
  private readonly openViews = new Set<object>();
  private readonly pictures = new Map<string, UnitPicture>();
  private heading: string | null = null;
  private readonly newest: Record<string, number> = {};
  private disposed = false;

  constructor(
    private readonly send: (message: ToKernel) => void,
    private readonly onChange: () => void,
  ) {}

  /** A view has opened or closed the tab. */
  open(view: object, on: boolean): void {
    const before = this.openViews.size > 0;
    this.openedHere = true;
    if (on) this.openViews.add(view);
    else this.openViews.delete(view);
    const now = this.openViews.size > 0;
    if (now !== before && !this.disposed) this.send({ kind: "circuit_open", on: now });
  }

  /** Asks for crops of a unit; with `find`, images are looked at for its layer if need be. */
  askCrops({ layer, unit }: UnitAt, find = false): void {
    this.send({ kind: "circuit_get_crops", layer, unit, find });
  }

  hold({ layer, unit }: UnitAt, on: boolean): void {
    this.send({ kind: "circuit_set_without", layer, unit, on });
  }

  /** Notes that the user goes to a unit of the circuit, from the one shown. */
  walk(to: UnitAt): void {
    // The second press of a double click.
    if (this.heading === keyOf(to)) return;
    const { seen, trail } = this;
    const at = trail.findIndex((one) => keyOf(one) === keyOf(to));
    if (at >= 0) this.trail = trail.slice(0, at);
    else if (seen) this.trail = [...trail, { layer: seen.layer, unit: seen.unit }];
    this.heading = keyOf(to);
  }

  picture(of: UnitAt): UnitPicture | undefined {
    return this.pictures.get(keyOf(of));
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as ToPage | null;
    // What is computed may take longer than a page counts as watched that says nothing.
    if (message?.kind.startsWith("circuit")) this.send({ kind: "present" });
    if (message?.kind === "circuit") void this.take("circuit", buffers, (all) => this.show(message, all));
    else if (message?.kind === "circuit_picture")
      void this.take(keyOf(message), buffers, ([bitmap = null]) => this.keep(message, bitmap));
    else if (message?.kind === "circuit_crops")
      void this.take("crops", buffers, (bitmaps) => {
        closeAll(this.crops?.bitmaps);
        this.crops = { of: message, bitmaps };
      });
    else if (message?.kind === "circuit_without")
      void this.take("without", buffers, (bitmaps) => {
        // A message that only says how far it is leaves the pictures.
        const same =
          message.state === "drawing" &&
          bitmaps.length === 0 &&
          this.without &&
          keyOf(this.without.of) === keyOf(message);
        if (!same) closeAll(this.without?.bitmaps);
        this.without = message.state ? { of: message, bitmaps: same ? (this.without?.bitmaps ?? []) : bitmaps } : null;
      });
  }

  dispose(): void {
    this.disposed = true;
    closeAll(this.kernels);
    closeAll([this.filter, ...(this.crops?.bitmaps ?? []), ...(this.without?.bitmaps ?? [])]);
    closeAll([...this.pictures.values()].map(({ bitmap }) => bitmap));
    this.pictures.clear();
  }

  /** Decodes what comes with a message, and drops it where a newer one of the same name has come meanwhile. */
  private async take(
    name: string,
    buffers: readonly Binary[],
    use: (bitmaps: (ImageBitmap | null)[]) => void,
  ): Promise<void> {
    const mine = (this.newest[name] ?? 0) + 1;
    this.newest[name] = mine;
    const decoded = await Promise.all(buffers.map((one) => decodeImage(one)));
    if (this.disposed || mine !== this.newest[name]) {
      closeAll(decoded);
      return;
    }
    use(decoded);
    this.onChange();
  }

  private show(message: CircuitSeen, bitmaps: (ImageBitmap | null)[]): void {
    const moved = !this.seen || keyOf(this.seen) !== keyOf(message);
    // Whoever went to another unit by a slider has left the way.
    if (moved && this.seen && this.heading !== keyOf(message)) this.trail = [];
    if (moved) {
      closeAll(this.crops?.bitmaps);
      this.crops = null;
      this.heading = null;
    }
    closeAll([...this.kernels, this.filter]);
    this.seen = message;
    this.filter = message.filter ? (bitmaps.pop() ?? null) : null;
    this.kernels = bitmaps;
  }

  private keep(message: CircuitPicture, bitmap: ImageBitmap | null): void {
    this.taken += 1;
    const key = keyOf(message);
    this.pictures.get(key)?.bitmap?.close();
    this.pictures.delete(key);
    this.pictures.set(key, { bitmap, draft: message.draft, problem: message.problem });
    for (const [old, { bitmap: gone }] of this.pictures) {
      if (this.pictures.size <= MOST_PICTURES) break;
      gone?.close();
      this.pictures.delete(old);
    }
  }
}

function closeAll(bitmaps: Iterable<ImageBitmap | null> | undefined): void {
  for (const one of bitmaps ?? []) one?.close();
}
