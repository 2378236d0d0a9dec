import type { Session } from "../client";
import { el, setText, textButton } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { folded, UNSEEN } from "./math";
import type { SheetStore } from "./store";
import { text } from "./text";

/** The tags of the layer shown: what a unit has, and the commands that change it. The kernel keeps them. */
export class LayerTags {
  constructor(
    private readonly session: Session,
    private readonly sheet: SheetStore,
  ) {}

  private get layer(): string {
    return this.session.wire.get("layer");
  }

  /** Its words; an empty list for one that was looked at, nothing for one that was not. */
  readonly of = (unit: number): readonly string[] | undefined =>
    this.session.wire.get("tags")?.[this.layer]?.[String(unit)];

  has(unit: number, word: string): boolean {
    return Boolean(this.of(unit)?.some((each) => folded(each) === folded(word)));
  }

  keys(): [string, string][] {
    return Object.entries(this.session.wire.get("tag_keys") ?? {});
  }

  wordOf(key: string): string | undefined {
    return this.session.wire.get("tag_keys")?.[key];
  }

  keyOf(word: string): string {
    return this.keys().find(([, each]) => folded(each) === folded(word))?.[0] ?? "";
  }

  /** The surest suggestion for a unit that it does not have yet. */
  suggestion(unit: number): { word: string; why: string } | null {
    const { suggestions } = this.sheet;
    if (suggestions?.layer !== this.layer) return null;
    const row = suggestions.rows.find(([each, word]) => each === unit && !this.has(unit, word));
    return row ? { word: row[1], why: row[2] } : null;
  }

  /** Puts the word on all units, or takes it off where all have it. */
  toggle(units: number[], word: string): void {
    this.put(units, [word], !units.every((unit) => this.has(unit, word)));
  }

  put(units: number[], words: string[], on: boolean): void {
    this.sheet.ask({ kind: "tag", layer: this.layer, units, words, on });
  }

  /** Looked at, with nothing found; where all are marked so already, not looked at. */
  see(units: number[]): void {
    const marked = units.every((unit) => this.of(unit)?.length === 0);
    this.sheet.ask({ kind: "tag_reviewed", layer: this.layer, units, on: !marked });
  }

  accept(units: number[]): void {
    const words = new Map<string, number[]>();
    for (const unit of units) {
      const word = this.suggestion(unit)?.word;
      if (word) words.set(word, [...(words.get(word) ?? []), unit]);
    }
    for (const [word, those] of words) this.put(those, [word], true);
  }

  setKey(key: string, word: string): void {
    this.sheet.ask({ kind: "key", key, word });
  }

  undo(again: boolean): void {
    this.sheet.ask({ kind: "undo", again });
  }
}

/** Each word with its key and its count; a click shows only the units that have it. */
export function wordTable(
  view: View,
  sheet: SheetStore,
  tags: LayerTags,
  filter: { word: string; choose(word: string): void },
): HTMLElement {
  const { session, signal } = view;
  const rows = el("div", { class: "peek-words-list", role: "group", "aria-label": text.words });
  const none = el("p", { class: "peek-help" }, text.noWords);
  const looked = el("span", { class: "peek-of" });
  const unseen = textButton(text.unreviewed, () => filter.choose(UNSEEN), signal);
  const rest = textButton(
    text.markRest,
    () => {
      const { total = 0 } = sheet.counts ?? {};
      const units = Array.from({ length: total }, (_, unit) => unit).filter((unit) => !tags.of(unit));
      sheet.ask({ kind: "tag_reviewed", layer: session.wire.get("layer"), units, on: true });
    },
    signal,
    text.markRestHelp,
  );
  const problem = el("p", { class: "peek-error", role: "status", hidden: true });

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
      "aria-pressed": String(folded(filter.word) === folded(word)),
    });
    only.append(el("span", { class: "peek-word-name" }, word), el("span", { class: "peek-of" }, count));
    only.addEventListener("click", () => filter.choose(word));
    return el("div", { class: "peek-inline" }, box, only);
  };

  let before = "";
  const update = (): void => {
    const counts = sheet.counts;
    const mine = counts?.layer === session.wire.get("layer") ? counts : null;
    const words = new Map((mine?.rows ?? []).map(([word, , said]) => [folded(word), [word, said] as const]));
    // A word with a key is there from the start, so that one sees what the keys mean.
    for (const [, word] of tags.keys()) if (!words.has(folded(word))) words.set(folded(word), [word, "0"]);
    const total = mine?.total ?? 0;
    setText(looked, text.reviewed(mine?.looked ?? 0, total));
    unseen.setAttribute("aria-pressed", String(filter.word === UNSEEN));
    rest.disabled = !mine || mine.looked >= total;
    none.hidden = words.size > 0;
    problem.hidden = !mine?.problem;
    setText(problem, mine?.problem ?? "");
    const now = JSON.stringify([[...words], tags.keys(), filter.word]);
    // Built anew only when it says something new, and never under the hand that types into it.
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
  rows.addEventListener("peek-filter", update, { signal });
  return el(
    "div",
    { class: "peek-sheet-words" },
    rows,
    none,
    el("div", { class: "peek-inline" }, looked, unseen, rest),
    problem,
  );
}

/** Asks once what a letter shall mean. */
export function keyForm(
  view: View,
  sheet: SheetStore,
  tags: LayerTags,
  done: (word: string | null) => void,
): { element: HTMLElement; ask(key: string): void } {
  const { signal } = view;
  const label = el("span", {});
  const box = el("input", { class: "peek-number peek-key-word", maxlength: 200, autocomplete: "off" });
  const list = el("datalist", { id: `peek-${Math.random().toString(36).slice(2)}` });
  box.setAttribute("list", list.id);
  let key = "";
  const end = (word: string | null): void => {
    element.hidden = true;
    if (word) tags.setKey(key, word);
    done(word);
  };
  const save = (): void => end(box.value.trim() || null);
  const element = el(
    "div",
    { class: "peek-inline peek-key-form", hidden: true },
    el("label", { class: "peek-inline" }, label, box),
    list,
    textButton(text.saveTag, save, signal),
    textButton(text.cancel, () => end(null), signal),
  );
  box.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Enter" && !event.isComposing) save();
      else if (event.key === "Escape") end(null);
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
