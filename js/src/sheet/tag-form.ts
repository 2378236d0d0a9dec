import type { SheetStore } from "../stores/sheet";
import { el, setText, textButton } from "../ui/dom";
import type { View } from "../ui/view";
import type { LayerTags } from "./tags";
import { text } from "./text";

/** The form in which the user defines the tag of a letter. Calls `done` with the tag, or with null if cancelled. */
export function tagForm(
  view: View,
  sheet: SheetStore,
  tags: LayerTags,
  done: (tag: string | null) => void,
): { element: HTMLElement; ask(key: string): void } {
  const { signal } = view;
  const label = el("span", {});
  const box = el("input", { class: "peek-number peek-key-word", maxlength: 200, autocomplete: "off" });
  const list = el("datalist", { id: `peek-${Math.random().toString(36).slice(2)}` });
  box.setAttribute("list", list.id);
  let key = "";
  const close = (tag: string | null): void => {
    element.hidden = true;
    if (tag) tags.setKey(key, tag);
    done(tag);
  };
  const save = (): void => close(box.value.trim() || null);
  const element = el(
    "div",
    { class: "peek-inline peek-key-form", hidden: true },
    el("label", { class: "peek-inline" }, label, box),
    list,
    textButton(text.saveTag, save, signal),
    textButton(text.cancel, () => close(null), signal),
  );
  box.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Enter" && !event.isComposing) save();
      else if (event.key === "Escape") close(null);
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    { signal },
  );
  return {
    element,
    ask(letter) {
      key = letter;
      setText(label, text.keyMeans(letter));
      box.value = "";
      const rows = sheet.counts?.rows ?? [];
      list.replaceChildren(...rows.map(([word]) => el("option", { value: word })));
      element.hidden = false;
      box.focus({ preventScroll: true });
    },
  };
}
