import { type Binary, bytesOf, type Inbound, type KeptFile, type KeptKind, type Outbound } from "../protocol";

/** What the kernel has exported: a file (`bytes`), or a text to copy. */
export interface ExportedFile extends KeptFile {
  bytes: Uint8Array<ArrayBuffer> | null;
}

/** Requests what the user saves or copies from the kernel, which answers with a message. */
export class ExportStore {
  private readonly waiting = new Map<KeptKind, (file: ExportedFile) => void>();

  constructor(private readonly send: (message: Outbound) => void) {}

  /** Never settles where no answer comes (the status line then says so), nor where the same was requested again. */
  request(what: KeptKind): Promise<ExportedFile> {
    return new Promise((resolve) => {
      this.waiting.set(what, resolve);
      this.send({ kind: "save", what });
    });
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as Inbound | null;
    if (message?.kind !== "saved") return;
    this.waiting.get(message.what)?.({ ...message, bytes: bytesOf(buffers[0]) });
    this.waiting.delete(message.what);
  }
}
