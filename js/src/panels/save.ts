import type { SavedFile } from "../protocol.gen";
import { text } from "../text";
import { el, type IconName, iconButton, setText } from "../ui/dom";
import { download } from "../ui/download";
import type { View } from "../ui/view";

/** The buttons that save and copy what is on screen. */
export function savePanel(view: View): HTMLElement {
  const { client, signal } = view;
  const note = el("p", { class: "peek-help", role: "status" });
  const report = (...parts: string[]): void => setText(note, parts.filter(Boolean).join(" "));
  const save = async (): Promise<void> => report(download(await client.exports.request("picture"), signal));
  /** A browser grants the clipboard only during the click, but lets its content come later, as a promise. */
  const copy = async (what: SavedFile["what"], type: string, refused: string): Promise<void> => {
    const request = client.exports.request(what);
    const content = request.then((file) => new Blob([file.bytes ?? file.text], { type }));
    try {
      await navigator.clipboard.write([new ClipboardItem({ [type]: content })]);
      report((await request).problem || text.copied, (await request).text);
    } catch {
      report((await request).problem || refused, (await request).text);
    }
  };
  const button = (name: IconName, label: string, act: () => void, help: string): HTMLElement => {
    const made = iconButton(name, label, act, signal);
    made.title = `${label}: ${help}`;
    return made;
  };
  // What is said lies on the picture, until the next press elsewhere; the code may be selected there.
  document.addEventListener("pointerdown", (event) => event.composedPath().includes(note) || report(), { signal });
  return el(
    "div",
    { class: "peek-save", role: "group", "aria-label": text.saveGroup },
    button("save", text.save, () => void save(), text.saveHelp),
    button("copy", text.copy, () => void copy("picture", "image/png", text.copyRefused), text.copyHelp),
    button("code", text.code, () => void copy("code", "text/plain", text.copyCode), text.codeHelp),
    note,
  );
}
