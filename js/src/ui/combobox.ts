import { el } from "./dom";
import { shorten } from "./tree";

/** A name that can be chosen, with facts about it, separated by tabs. */
export interface Entry {
  name: string;
  detail: string;
}

/** What the list of names (lazy/name-list.ts) has of the box that it opens below. */
export interface NameBox {
  label: string;
  input: HTMLInputElement;
  box: HTMLElement;
  /** All names, and the number of the one that is chosen. */
  entries(): readonly Entry[];
  current(): number;
  choose(at: number): void;
  /** Shows the name that is chosen in place of what was typed. */
  restore(): void;
  signal: AbortSignal;
}

export interface NameList {
  isOpen(): boolean;
  /** Takes over other names. */
  update(): void;
}

export interface Combobox {
  box: HTMLElement;
  show(entries: readonly Entry[], at: number): void;
}

/**
 * Makes a box with a name, in which another is searched by typing. `load` gives its list; where that fails, it is tried
 * again when the box gets the focus.
 */
export function combobox(
  label: string,
  onChoose: (at: number) => void,
  load: () => Promise<(box: NameBox) => NameList>,
  signal: AbortSignal,
): Combobox {
  const input = el("input", {
    class: "peek-select",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": label,
    "aria-autocomplete": "list",
    "aria-haspopup": "tree",
    "aria-expanded": "false",
  });
  const box = el("div", { class: "peek-combobox" }, input);
  let entries: readonly Entry[] = [];
  let current = -1;
  let names: NameList | undefined;
  const name = (): string => entries[current]?.name ?? "";
  const restore = (): void => {
    input.value = (input.getRootNode() as Document | ShadowRoot).activeElement === input ? name() : shorten(name());
    input.title = name();
    input.removeAttribute("aria-invalid");
  };
  input.addEventListener(
    "focus",
    () => {
      input.value = name();
      input.select();
      void list();
    },
    { signal },
  );
  input.addEventListener("blur", restore, { signal });
  const own: NameBox = {
    label,
    input,
    box,
    entries: () => entries,
    current: () => current,
    choose: onChoose,
    restore,
    signal,
  };
  let loading = false;
  const list = async (): Promise<void> => {
    if (names || loading) return;
    loading = true;
    // What failed is said in the tab, which is loaded along with it.
    const make = await load().catch(() => undefined);
    loading = false;
    if (!make || signal.aborted) return;
    names = make(own);
    names.update();
  };
  void list();
  return {
    box,
    show(known, at) {
      const other = known !== entries;
      entries = known;
      current = at;
      if (other) names?.update();
      if (!names?.isOpen()) restore();
    },
  };
}
