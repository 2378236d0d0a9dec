import type { SheetStore } from "../stores/sheet";
import { el, setText, textButton } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { folded, UNREVIEWED } from "./order";
import type { LayerTags } from "./tags";
import { text } from "./text";

/**
 * The tags of the layer with their shortcuts and counts. A click on one filters the units by it: `choose` toggles the
 * filter and returns the one in force.
 */
export function tagTable(view: View, sheet: SheetStore, tags: LayerTags, choose: (tag: string) => string): HTMLElement {
  const { client, signal } = view;
  let filter = "";
  const toggle = (tag: string): void => {
    filter = choose(tag);
    update();
  };
  const rows = el("div", { class: "peek-tag-list", role: "group", "aria-label": text.words });
  const empty = el("p", { class: "peek-help" }, text.noWords);
  const reviewed = el("span", { class: "peek-of" });
  const unreviewed = textButton(text.unreviewed, () => toggle(UNREVIEWED), signal);
  const rest = textButton(
    text.markRest,
    () => {
      const { total = 0 } = sheet.counts ?? {};
      const units = Array.from({ length: total }, (_, unit) => unit).filter((unit) => !tags.of(unit));
      sheet.request({ kind: "tag_reviewed", layer: client.wire.get("layer"), units, on: true });
    },
    signal,
    text.markRestHelp,
  );
  const problem = el("p", { class: "peek-error", role: "status", tabindex: 0, hidden: true });

  const row = (word: string, count: string): HTMLElement => {
    const key = tags.keyOf(word);
    const box = el("input", {
      class: "peek-number peek-key-box",
      value: key,
      maxlength: 1,
      placeholder: "–",
      autocomplete: "off",
      "aria-label": text.changeKey(word, key),
      title: text.changeKey(word, key),
    });
    box.addEventListener("change", () => {
      const typed = box.value.trim().toLowerCase();
      if (/^[a-z]$/.test(typed)) tags.setKey(typed, word);
      else if (!typed && key) tags.setKey(key, "");
      else box.value = key;
    });
    const only = el("button", {
      type: "button",
      class: "peek-button peek-words peek-word",
      "aria-label": text.onlyWord(word, count),
      "aria-pressed": String(folded(filter) === folded(word)),
    });
    only.append(el("span", { class: "peek-word-name" }, word), el("span", { class: "peek-of" }, count));
    only.addEventListener("click", () => toggle(word));
    return el("div", { class: "peek-inline" }, box, only);
  };

  let before = "";
  const update = (): void => {
    const counts = sheet.counts;
    const current = counts?.layer === client.wire.get("layer") ? counts : null;
    const words = new Map((current?.rows ?? []).map(([word, , said]) => [folded(word), [word, said] as const]));
    // A tag with a shortcut is listed from the start, to show what the shortcuts mean.
    for (const [, word] of tags.keys()) if (!words.has(folded(word))) words.set(folded(word), [word, "0"]);
    const total = current?.total ?? 0;
    setText(reviewed, text.reviewed(current?.looked ?? 0, total));
    unreviewed.setAttribute("aria-pressed", String(filter === UNREVIEWED));
    rest.disabled = !current || current.looked >= total;
    empty.hidden = words.size > 0;
    problem.hidden = !current?.problem;
    setText(problem, current?.problem ?? "");
    const now = JSON.stringify([[...words], tags.keys(), filter]);
    // Rebuilt only when it changes, so that a shortcut box in which the user types is left alone.
    if (now === before) return;
    before = now;
    const at = (rows.getRootNode() as Document | ShadowRoot).activeElement;
    const label = rows.contains(at) ? at?.querySelector(".peek-word-name")?.textContent : null;
    rows.replaceChildren(...[...words.values()].map(([word, said]) => row(word, said)));
    if (label === null || label === undefined) return;
    for (const button of rows.querySelectorAll<HTMLElement>(".peek-word"))
      if (button.querySelector(".peek-word-name")?.textContent === label) button.focus({ preventScroll: true });
  };
  watch(view, ["counts", "tags", "tag_keys", "layer"], update);
  return el(
    "div",
    { class: "peek-tag-table" },
    rows,
    empty,
    el("div", { class: "peek-inline" }, reviewed, unreviewed, rest),
    problem,
  );
}
