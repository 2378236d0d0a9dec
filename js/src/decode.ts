interface Task {
  id: number;
  bytes: Uint8Array<ArrayBuffer>;
  type: string;
}

interface Answer {
  id: number;
  picture: ImageBitmap | null;
}

/** Runs in a worker, from its own text: nothing outside it is known there. */
async function serve({ data: { id, bytes, type } }: MessageEvent<Task>): Promise<void> {
  let picture: ImageBitmap | null = null;
  const decoder = new ImageDecoder({ data: bytes, type });
  try {
    const { image } = await decoder.decode();
    picture = await createImageBitmap(image);
    image.close();
  } catch {
    // the page decodes it once more, and tells what is wrong with it
  }
  decoder.close();
  postMessage({ id, picture } satisfies Answer, { transfer: picture ? [picture] : [] });
}

/** Python sends JPEG while it runs and PNG when it stops; the first bytes say which. */
export function mimeType(bytes: Uint8Array): string {
  return bytes[0] === 0x89 && bytes[1] === 0x50 ? "image/png" : "image/jpeg";
}

/**
 * Pictures out of files.
 *
 * By WebCodecs in a worker where there are both: in the page each picture would take 2 ms of its main thread, and
 * a Blob goes through another process first, which takes longer. Where there is no WebCodecs (plain `http`, Safari) or a
 * host forbids workers, by a Blob.
 */
export class Decoder {
  private works = typeof ImageDecoder !== "undefined" && typeof Worker !== "undefined";
  private worker: Worker | undefined;
  private asked = 0;
  private readonly waiting = new Map<number, (picture: ImageBitmap | null) => void>();

  async decode(bytes: Uint8Array<ArrayBuffer>): Promise<ImageBitmap> {
    const type = mimeType(bytes);
    const made = this.works ? await this.ask(bytes.slice(), type) : null;
    if (made) return made;
    const picture = await createImageBitmap(new Blob([bytes], { type }));
    // The file is sound, so it is the worker that is not.
    this.end();
    return picture;
  }

  /** Ends the worker; what is being decoded is decoded without it. */
  end(): void {
    this.works = false;
    this.worker?.terminate();
    this.worker = undefined;
    for (const id of [...this.waiting.keys()]) this.answer({ id, picture: null });
  }

  private ask(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<ImageBitmap | null> {
    return new Promise((answer) => {
      const id = ++this.asked;
      this.waiting.set(id, answer);
      try {
        this.worker ??= this.start();
        this.worker.postMessage({ id, bytes, type } satisfies Task, [bytes.buffer]);
      } catch {
        // a host that forbids workers: `decode` goes on without
        this.answer({ id, picture: null });
      }
    });
  }

  private answer({ id, picture }: Answer): void {
    this.waiting.get(id)?.(picture);
    this.waiting.delete(id);
  }

  private start(): Worker {
    const url = URL.createObjectURL(new Blob([`onmessage=${serve}`], { type: "text/javascript" }));
    const worker = new Worker(url);
    URL.revokeObjectURL(url);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => this.answer(data);
    worker.onerror = () => this.end();
    return worker;
  }
}
