import { bytesOf } from "../decode";
import type {
  Binary,
  PhotoClass,
  PhotoLayer,
  PhotoLayers,
  PhotoPicture,
  PhotoSeen,
  PhotoStep,
  PhotoUnit,
  ToKernel,
  ToPage,
} from "../protocol.gen";
import { decodeImage } from "./images";

export type PhotoEditName = Extract<ToKernel, { kind: "photo_edit" }>["how"];

/** Longest side in pixels and size in bytes of what is sent: hosts drop a message of 10 MB without a word. */
const SIDE = 1024;
const MOST_BYTES = 300_000;

/** The accentuated photo after some of its steps. */
export interface Stage {
  step: number;
  picture: ImageBitmap;
  mean: number;
  activation: number;
  percentile: number;
  classes: readonly PhotoClass[];
}

/** The name of a unit's picture. */
export const pictureKey = (layer: string, unit: number, of: PhotoPicture["of"]): string => `${of}/${unit}/${layer}`;

/** The photo that the kernel looks at, and what it sees in it; only the newest answer is kept. */
export class PhotoStore {
  seen: PhotoSeen | null = null;
  picture: ImageBitmap | null = null;
  /** Where each unit of `seen` fires, over the photo. */
  maps: (ImageBitmap | null)[] = [];
  /** Pictures of the units of `seen`, drawn and real; where there can be none, why. */
  readonly pictures = new Map<string, ImageBitmap | string>();
  /** The most unusual units of all layers, with their maps. */
  layers: readonly PhotoLayer[] = [];
  layerMaps: (ImageBitmap | null)[][] = [];
  /** What the last accentuation is of, and what it has come to. */
  accentuated: PhotoStep | null = null;
  stages: Stage[] = [];
  /** What went wrong here, before anything was sent. */
  problem = "";
  private newest = 0;
  private newestLayers = 0;
  /** Number of the photo that `layers` are of. */
  private layersOf = 0;
  /** The last accentuation that was ended here: what is still on its way of it comes too late. */
  private ended = 0;
  private disposed = false;

  constructor(
    private readonly send: (message: ToKernel) => void,
    private readonly onChange: () => void,
  ) {}

  /** Shrinks a file that was dropped, pasted or chosen, upright, and sends it. */
  async give(file: Blob): Promise<void> {
    this.problem = "";
    try {
      this.send({ kind: "photo", data: await shrunk(file) });
    } catch {
      // What this browser can't read the kernel may (a TIFF), or says what it is (HEIC).
      if (file.size > MOST_BYTES) this.problem = `This browser can't read ${(file as File).name ?? "it"} as an image.`;
      else this.send({ kind: "photo", data: await base64(file) });
    }
    this.onChange();
  }

  edit(how: PhotoEditName, whole: boolean, strokes: readonly number[]): void {
    // The kernel ends it too, and may have nothing else to say: "as it was", say.
    if (this.accentuated) {
      this.endAccentuation();
      this.onChange();
    }
    this.send({ kind: "photo_edit", how, whole, strokes });
  }

  /** Requests any image of the dataset as the photo. */
  sample(): void {
    this.problem = "";
    this.send({ kind: "photo_sample" });
  }

  overview(on: boolean): void {
    this.send({ kind: "photo_overview", on });
  }

  accentuate(unit: number, less: boolean, strength: number, on: boolean): void {
    this.endAccentuation();
    this.send({ kind: "photo_accentuate", unit, less, strength, on });
    this.onChange();
  }

  place(y: number, x: number, on: boolean): void {
    this.send({ kind: "photo_place", y, x, on });
  }

  close(): void {
    this.send({ kind: "photo_close" });
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as ToPage | null;
    if (message?.kind === "photo") void this.take(message, buffers);
    else if (message?.kind === "photo_picture") void this.takePicture(message, buffers[0]);
    else if (message?.kind === "photo_layers") void this.takeLayers(message, buffers);
    else if (message?.kind === "photo_step") void this.takeStep(message, buffers[0]);
  }

  dispose(): void {
    this.disposed = true;
    this.picture?.close();
    for (const map of [...this.maps, ...this.layerMaps.flat()]) map?.close();
    for (const picture of this.pictures.values()) closePicture(picture);
    this.endAccentuation();
  }

  private async take(message: PhotoSeen, buffers: readonly Binary[]): Promise<void> {
    this.newest += 1;
    const mine = this.newest;
    const decoded = await Promise.all(buffers.map((one) => decodeImage(one)));
    const first = message.picture ? decoded.shift() : undefined;
    const stale = this.disposed || mine !== this.newest;
    for (const old of stale ? decoded : this.maps) old?.close();
    if (first && this.disposed) first.close();
    else if (first) {
      // Of a message that comes late as well: those after it have none.
      this.picture?.close();
      this.picture = first;
    }
    if (stale) return;
    this.maps = mapsOf(message.units, [...decoded]);
    const listed = new Set(message.units.map(({ unit }) => unit));
    for (const [key, picture] of this.pictures) {
      const [, unit, ...layer] = key.split("/");
      if (listed.has(Number(unit)) && layer.join("/") === message.layer) continue;
      closePicture(picture);
      this.pictures.delete(key);
    }
    if (message.changed || message.n !== this.seen?.n) this.endAccentuation();
    if (message.n !== this.layersOf) {
      for (const map of this.layerMaps.flat()) map?.close();
      this.layers = [];
      this.layerMaps = [];
    }
    this.seen = message;
    this.onChange();
  }

  private async takePicture(message: PhotoPicture, buffer: Binary | undefined): Promise<void> {
    const { layer, unit, of, problem } = message;
    const picture = await decodeImage(buffer);
    if (this.disposed) picture?.close();
    else {
      const key = pictureKey(layer, unit, of);
      this.send({ kind: "present" });
      closePicture(this.pictures.get(key));
      this.pictures.set(key, picture ?? problem);
      this.onChange();
    }
  }

  private async takeLayers(message: PhotoLayers, buffers: readonly Binary[]): Promise<void> {
    this.newestLayers += 1;
    const mine = this.newestLayers;
    const decoded = await Promise.all(buffers.map((one) => decodeImage(one)));
    // What was decoded late, or of a photo that was closed or replaced meanwhile, is not shown.
    const stale = this.disposed || mine !== this.newestLayers || message.n < (this.seen?.n ?? 0) || this.seen?.n === 0;
    for (const old of stale ? decoded : this.layerMaps.flat()) old?.close();
    if (stale) return;
    this.layersOf = message.n;
    this.layers = message.layers;
    this.layerMaps = message.layers.map(({ units }) => mapsOf(units, decoded));
    this.onChange();
  }

  private async takeStep(message: PhotoStep, buffer: Binary | undefined): Promise<void> {
    if (message.run <= this.ended) return;
    if (message.run !== this.accentuated?.run) this.endAccentuation();
    this.accentuated = message;
    const picture = await decodeImage(buffer);
    const { step, mean, activation, percentile, classes } = message;
    if (this.disposed || this.accentuated?.run !== message.run) picture?.close();
    else if (picture) {
      this.stages = [...this.stages, { step, picture, mean, activation, percentile, classes }];
      this.stages.sort((one, other) => one.step - other.step);
    }
    if (!this.disposed) this.onChange();
  }

  private endAccentuation(): void {
    this.ended = Math.max(this.ended, this.accentuated?.run ?? 0);
    for (const { picture } of this.stages) picture.close();
    this.stages = [];
    this.accentuated = null;
  }
}

/** Gives each unit that has a map the next of the pictures. */
function mapsOf(units: readonly PhotoUnit[], pictures: (ImageBitmap | null)[]): (ImageBitmap | null)[] {
  return units.map((unit) => (unit.map ? (pictures.shift() ?? null) : null));
}

function closePicture(picture: ImageBitmap | string | undefined): void {
  if (picture && typeof picture !== "string") picture.close();
}

/** A photo as JPEG in base64: upright, its longer side at most 1,024 px, at most 300 kB. */
async function shrunk(file: Blob): Promise<string> {
  const image = await createImageBitmap(file, { imageOrientation: "from-image" });
  try {
    for (let side = SIDE; ; side = Math.round(side * 0.75)) {
      const scale = Math.min(1, side / Math.max(image.width, image.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.round(image.width * scale));
      canvas.height = Math.max(1, Math.round(image.height * scale));
      const context = canvas.getContext("2d");
      if (!context) throw new Error("no canvas");
      context.fillStyle = "white"; // behind what is transparent
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      for (const quality of [0.92, 0.8]) {
        const made = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
        if (!made) throw new Error("no JPEG");
        if (made.size <= MOST_BYTES) return await base64(made);
      }
    }
  } finally {
    image.close();
  }
}

async function base64(file: Blob): Promise<string> {
  const bytes = bytesOf(await file.arrayBuffer()) ?? new Uint8Array();
  let text = "";
  // In pieces, since a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
