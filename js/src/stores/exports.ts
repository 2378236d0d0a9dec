import { bytesOf } from "../decode";
import type { Binary, SavedFile, ToKernel, ToPage } from "../protocol.gen";

/** What the kernel has exported: a file (`bytes`), or a text to copy. */
export interface ExportedFile extends SavedFile {
  bytes: Uint8Array<ArrayBuffer> | null;
}

/** Requests what the user saves or copies from the kernel, which answers with a message. */
export class ExportStore {
  private readonly waiting = new Map<SavedFile["what"], (file: ExportedFile) => void>();

  constructor(private readonly send: (message: ToKernel) => void) {}

  /** Never settles where no answer comes (the status line then says so), nor where the same was requested again. */
  request(what: SavedFile["what"]): Promise<ExportedFile> {
    return new Promise((resolve) => {
      this.waiting.set(what, resolve);
      this.send({ kind: "save", what });
    });
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as ToPage | null;
    if (message?.kind !== "saved") return;
    this.waiting.get(message.what)?.({ ...message, bytes: bytesOf(buffers[0]) });
    this.waiting.delete(message.what);
  }
}
