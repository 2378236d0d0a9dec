import { bytesOf } from "../decode";
import type { Binary, CropInfo, CropSet, LargeCrop, ToKernel, ToPage } from "../protocol.gen";
import { decodeImage } from "./images";

export type CropView = CropSet["view"];

/** A crop shown large: its picture and the activation map as brightness (0 to 255, row by row). */
export interface OpenedCrop extends LargeCrop {
  picture: ImageBitmap | null;
  levels: Uint8Array<ArrayBuffer> | null;
}

/**
 * The dataset examples of one model, as custom messages bring them: decoded once, whatever the number of views.
 *
 * Only the pictures of the current set are kept. A picture whose set was replaced while it was decoded is closed.
 */
export class CropStore {
  set: CropSet | null = null;
  readonly pictures = new Map<string, ImageBitmap>();
  /** The number of the crop to show large (0: none), and that crop once its picture is here. */
  opened = 0;
  large: OpenedCrop | null = null;
  private disposed = false;

  constructor(
    private readonly send: (message: ToKernel) => void,
    private readonly onChange: (topic: "crops" | "large") => void,
  ) {}

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as ToPage | null;
    if (message?.kind === "crops") this.receiveSet(message, buffers);
    else if (message?.kind === "large") this.receiveLarge(message, buffers);
  }

  /** Requests the examples at the bottom or the top of the ranking: in full, or what of them. */
  setView(bottom: boolean, view: CropView): void {
    this.open(0);
    this.send({ kind: "crop_view", bottom, view });
  }

  /** Shows a crop large; 0 shows the grid of all of them again. */
  open(id: number): void {
    if (id === this.opened) return;
    this.opened = id;
    this.closeLarge();
    this.send({ kind: "open_crop", id });
    this.onChange("large");
  }

  /** Starts the run from a crop; 0 starts it from noise again. */
  startFrom(id: number): void {
    this.send({ kind: "start_from_crop", id });
  }

  /** Resumes or stops the pass over the dataset. */
  runPass(on: boolean): void {
    this.send({ kind: "run_pass", on });
  }

  dispose(): void {
    this.disposed = true;
    for (const picture of this.pictures.values()) picture.close();
    this.pictures.clear();
    this.large?.picture?.close();
    this.large = null;
  }

  private receiveSet(set: CropSet, buffers: readonly Binary[]): void {
    const old = this.set;
    this.set = set;
    const current = new Set(set.crops.map((crop) => crop.key));
    for (const [key, picture] of this.pictures) {
      if (current.has(key)) continue;
      picture.close();
      this.pictures.delete(key);
    }
    if (old && (old.layer !== set.layer || old.unit !== set.unit) && this.opened) {
      this.opened = 0;
      this.closeLarge();
      this.onChange("large");
    }
    for (const crop of set.crops) void this.decode(crop, buffers[crop.image]);
    this.onChange("crops");
  }

  private async decode(crop: CropInfo, buffer: Binary | undefined): Promise<void> {
    const picture = await decodeImage(buffer);
    if (!picture) return;
    if (this.disposed || !this.set?.crops.some((each) => each.key === crop.key)) {
      picture.close();
      return;
    }
    this.pictures.get(crop.key)?.close();
    this.pictures.set(crop.key, picture);
    this.onChange("crops");
  }

  private async receiveLarge(message: LargeCrop, buffers: readonly Binary[]): Promise<void> {
    // The kernel sends the crop that was open before the page was loaded again, too.
    if (this.opened === 0 || message.id !== this.opened) return;
    const picture = await decodeImage(buffers[0]);
    if (this.disposed || message.id !== this.opened) {
      picture?.close();
      return;
    }
    this.closeLarge();
    this.large = { ...message, picture, levels: bytesOf(buffers[1]) };
    this.onChange("large");
  }

  private closeLarge(): void {
    this.large?.picture?.close();
    this.large = null;
  }
}
