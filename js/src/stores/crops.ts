import {
  type Binary,
  bytesOf,
  type CropInfo,
  type CropSet,
  type Inbound,
  type LargeCrop,
  type Outbound,
} from "../protocol";

/** A crop shown large: its picture and how bright the unit's map leaves each place (0 to 255, row by row). */
export interface Large extends LargeCrop {
  picture: ImageBitmap | null;
  levels: Uint8Array<ArrayBuffer> | null;
}

/**
 * The real images of one model, as custom messages bring them: decoded once, whatever number of views.
 *
 * Only the pictures of the set shown are kept. A picture that is decoded after its set has gone is let go.
 */
export class CropStore {
  set: CropSet | null = null;
  readonly pictures = new Map<string, ImageBitmap>();
  /** The number of the crop to show large, 0 for none, and what has come of it. */
  opened = 0;
  large: Large | null = null;
  private disposed = false;

  constructor(
    private readonly send: (message: Outbound) => void,
    private readonly onChange: (topic: "crops" | "large") => void,
  ) {}

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as Inbound | null;
    if (message?.kind === "crops") this.takeSet(message, buffers);
    else if (message?.kind === "large") this.takeLarge(message, buffers);
  }

  arrange(bottom: boolean, cut: boolean): void {
    this.open(0);
    this.send({ kind: "crop_view", bottom, cut });
  }

  /** Shows a crop large, or with 0 all of them again. */
  open(id: number): void {
    if (id === this.opened) return;
    this.opened = id;
    this.dropLarge();
    this.send({ kind: "open_crop", id });
    this.onChange("large");
  }

  startFrom(id: number): void {
    this.send({ kind: "start_from_crop", id });
  }

  look(on: boolean): void {
    this.send({ kind: "run_pass", on });
  }

  dispose(): void {
    this.disposed = true;
    for (const picture of this.pictures.values()) picture.close();
    this.pictures.clear();
    this.large?.picture?.close();
    this.large = null;
  }

  private takeSet(set: CropSet, buffers: readonly Binary[]): void {
    const old = this.set;
    this.set = set;
    const wanted = new Set(set.crops.map((crop) => crop.key));
    for (const [key, picture] of this.pictures) {
      if (wanted.has(key)) continue;
      picture.close();
      this.pictures.delete(key);
    }
    if (old && (old.layer !== set.layer || old.unit !== set.unit) && this.opened) {
      this.opened = 0;
      this.dropLarge();
      this.onChange("large");
    }
    for (const crop of set.crops) void this.decode(crop, buffers[crop.image]);
    this.onChange("crops");
  }

  private async decode(crop: CropInfo, buffer: Binary | undefined): Promise<void> {
    const picture = await decoded(buffer);
    if (!picture) return;
    if (this.disposed || !this.set?.crops.some((each) => each.key === crop.key)) {
      picture.close();
      return;
    }
    this.pictures.get(crop.key)?.close();
    this.pictures.set(crop.key, picture);
    this.onChange("crops");
  }

  private async takeLarge(message: LargeCrop, buffers: readonly Binary[]): Promise<void> {
    // A page that is loaded again is told of the crop that it showed before.
    if (this.opened === 0 || message.id !== this.opened) return;
    const picture = await decoded(buffers[0]);
    if (this.disposed || message.id !== this.opened) {
      picture?.close();
      return;
    }
    this.dropLarge();
    this.large = { ...message, picture, levels: bytesOf(buffers[1]) };
    this.onChange("large");
  }

  private dropLarge(): void {
    this.large?.picture?.close();
    this.large = null;
  }
}

export async function decoded(buffer: Binary | undefined): Promise<ImageBitmap | null> {
  const bytes = bytesOf(buffer);
  if (!bytes) return null;
  try {
    return await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  } catch {
    // A tile without its picture still says its number.
    return null;
  }
}
