import { type Binary, bytesOf, type Inbound, type KeptFile, type KeptKind, type Outbound } from "../protocol";
import { text } from "../text";
import { el, setText, textButton } from "../ui/dom";
import type { View } from "../ui/view";

/** What the kernel has handed over: a file, or a text to copy. */
export interface Kept extends KeptFile {
  bytes: Uint8Array<ArrayBuffer> | null;
}

/** Asks the kernel for what is to be saved or copied; the answer comes as a message. */
export class Keeper {
  private readonly waiting = new Map<KeptKind, (kept: Kept) => void>();

  constructor(private readonly send: (message: Outbound) => void) {}

  /** Does not settle where no answer comes (which the bench says), nor where the same was asked again. */
  ask(what: KeptKind): Promise<Kept> {
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

/** Save and copy what is on screen. */
export function keepPanel(view: View): HTMLElement {
  const { session, signal } = view;
  const note = el("p", { class: "peek-help", role: "status" });
  const say = (...words: string[]): void => setText(note, words.filter(Boolean).join(" "));
  const save = async (): Promise<void> => say(saved(await session.keeper.ask("picture"), view));
  /** The clipboard must be asked within the click; what goes into it may come later. */
  const copy = async (what: KeptKind, type: string, refused: string): Promise<void> => {
    const asked = session.keeper.ask(what);
    const content = asked.then((kept) => new Blob([kept.bytes ?? kept.text], { type }));
    try {
      await navigator.clipboard.write([new ClipboardItem({ [type]: content })]);
      say((await asked).problem || text.copied, (await asked).text);
    } catch {
      say((await asked).problem || refused, (await asked).text);
    }
  };
  return el(
    "div",
    { class: "peek-keep", role: "group", "aria-label": text.saveGroup },
    textButton(text.save, () => void save(), signal, text.saveHelp),
    textButton(text.copy, () => void copy("picture", "image/png", text.copyRefused), signal, text.copyHelp),
    textButton(text.code, () => void copy("code", "text/plain", text.copyCode), signal, text.codeHelp),
    note,
  );
}

/** Hands a file to the browser; gives what there is to say about it. */
export function saved(kept: Kept, view: View): string {
  if (!kept.bytes || view.signal.aborted) return kept.problem;
  const address = URL.createObjectURL(new Blob([kept.bytes]));
  el("a", { href: address, download: kept.name }).click();
  URL.revokeObjectURL(address);
  return `${text.saved(kept.name)} ${kept.note}`;
}
