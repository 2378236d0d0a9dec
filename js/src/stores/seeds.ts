import type { Binary, ToPage } from "../protocol.gen";
import { decodeImage } from "./images";

/**
 * The small pictures of all seeds that the run draws at once; none where it draws one. One whole set is decoded at a
 * time; of the sets that wait, only the newest is.
 */
export class SeedStore {
  seeds: readonly number[] = [];
  pictures: readonly (ImageBitmap | null)[] = [];
  private waiting: { seeds: readonly number[]; buffers: readonly Binary[] } | null = null;
  private decoding = false;
  private disposed = false;

  constructor(private readonly onChange: () => void) {}

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as ToPage | null;
    if (message?.kind !== "seeds") return;
    this.waiting = { seeds: message.seeds, buffers };
    void this.pump();
  }

  dispose(): void {
    this.disposed = true;
    this.replace([], []);
  }

  private async pump(): Promise<void> {
    if (this.decoding) return;
    this.decoding = true;
    while (this.waiting) {
      const { seeds, buffers } = this.waiting;
      this.waiting = null;
      const pictures = await Promise.all(seeds.map((_, at) => decodeImage(buffers[at])));
      if (this.disposed) {
        for (const picture of pictures) picture?.close();
        return;
      }
      this.replace(seeds, pictures);
      this.onChange();
    }
    this.decoding = false;
  }

  private replace(seeds: readonly number[], pictures: readonly (ImageBitmap | null)[]): void {
    for (const picture of this.pictures) picture?.close();
    this.seeds = seeds;
    this.pictures = pictures;
  }
}
