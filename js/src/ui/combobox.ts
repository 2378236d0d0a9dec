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

/** Makes a box with a name, in which another is searched by typing; its list is there as soon as `list` is loaded. */
export function combobox(
  label: string,
  onChoose: (at: number) => void,
  list: Promise<(box: NameBox) => NameList>,
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
  list.then(
    (make) => {
      if (signal.aborted) return;
      names = make(own);
      names.update();
    },
    () => undefined, // said in the tab, which is loaded along with it
  );
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
