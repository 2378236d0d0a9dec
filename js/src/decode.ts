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
  let decoder: ImageDecoder | undefined;
  let image: VideoFrame | undefined;
  try {
    decoder = new ImageDecoder({ data: bytes, type });
    image = (await decoder.decode()).image;
    picture = await createImageBitmap(image);
  } catch {
    // the page decodes it once more, and tells what is wrong with it
  } finally {
    image?.close();
    decoder?.close();
  }
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
  private resting = false;
  private readonly waiting = new Map<number, (picture: ImageBitmap | null) => void>();

  async decode(bytes: Uint8Array<ArrayBuffer>): Promise<ImageBitmap> {
    this.resting = false;
    const type = mimeType(bytes);
    const made = this.works ? await this.ask(bytes.slice(), type) : null;
    if (made) return made;
    const picture = await createImageBitmap(new Blob([bytes], { type }));
    // The file is sound, so it is the worker that is not.
    this.end();
    return picture;
  }

  /** Lets the worker go as soon as nothing waits for it; the next picture gets a new one. */
  rest(): void {
    this.resting = true;
    this.stopIfIdle();
  }

  /** No worker from now on: what is being decoded is decoded without one. */
  end(): void {
    this.works = false;
    this.stop();
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
    const waiter = this.waiting.get(id);
    if (waiter) waiter(picture);
    else picture?.close();
    this.waiting.delete(id);
    this.stopIfIdle();
  }

  private stopIfIdle(): void {
    if (this.resting && this.waiting.size === 0) this.stop();
  }

  private stop(): void {
    this.worker?.terminate();
    this.worker = undefined;
  }

  private start(): Worker {
    const url = URL.createObjectURL(new Blob([`onmessage=${serve}`], { type: "text/javascript" }));
    try {
      const worker = new Worker(url);
      worker.onmessage = ({ data }: MessageEvent<Answer>) => this.answer(data);
      worker.onerror = worker.onmessageerror = () => this.end();
      return worker;
    } finally {
      URL.revokeObjectURL(url);
    }
  }
}
