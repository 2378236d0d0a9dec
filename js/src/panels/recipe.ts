import type { RecipeInfo } from "../protocol.gen";
import { text } from "../text";
import { el, icon, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";

/** The current recipe, and a list that opens to choose another. */
export function recipePanel(view: View): HTMLElement {
  const { client, signal } = view;
  const { wire } = client;
  const name = el("span", { class: "peek-recipe-name" });
  const button = el(
    "button",
    { type: "button", class: "peek-recipe-button", "aria-expanded": "false" },
    el("span", { class: "peek-visually-hidden" }, text.recipeNow),
    name,
    icon("down"),
  );
  // It takes the focus of a press on a label; the widget's root would take it out of the list, which then closes.
  const list = el("div", {
    class: "peek-recipe-list",
    role: "radiogroup",
    "aria-label": text.recipe,
    tabindex: -1,
    hidden: true,
  });
  const choice = el("div", { class: "peek-recipe" }, button, list);

  /** The radio buttons by recipe. Their group has a random name, since one page may show several widgets. */
  const radios = new Map<string, HTMLInputElement>();
  const group = `recipe ${Math.random()}`;
  const recipes = (): readonly RecipeInfo[] => {
    const known = wire.get("_recipe_list") ?? [];
    const now = wire.get("recipe");
    // A recipe made in Python is not among the presets.
    return known.some((one) => one.name === now) ? known : [...known, { name: now, summary: "", source: "" }];
  };
  const show = (open: boolean): void => {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) radios.get(wire.get("recipe"))?.focus();
  };
  button.addEventListener("click", () => show(list.hidden), { signal });
  choice.addEventListener(
    "keydown",
    (event) => {
      if (list.hidden || (event.key !== "Escape" && event.key !== "Enter") || event.target === button) return;
      event.preventDefault();
      show(false);
      button.focus();
    },
    { signal },
  );
  choice.addEventListener(
    "focusout",
    (event) => {
      // relatedTarget is null when the window lost the focus.
      if (event.relatedTarget && !choice.contains(event.relatedTarget as Node)) show(false);
    },
    { signal },
  );
  document.addEventListener(
    "pointerdown",
    (event) => {
      // composedPath, because in a shadow root the target would be its host.
      if (!list.hidden && !event.composedPath().includes(choice)) show(false);
    },
    { signal },
  );
  list.addEventListener(
    "change",
    (event) => {
      wire.edit({ recipe: (event.target as HTMLInputElement).value });
      client.connection.expectReply();
    },
    { signal },
  );
  list.addEventListener(
    "click",
    (event) => {
      // A click chooses; arrow keys, whose clicks have a detail of 0, only try recipes out.
      if (event.detail > 0 && event.target instanceof HTMLInputElement) {
        show(false);
        button.focus();
      }
    },
    { signal },
  );

  watch(view, ["_recipe_list", "recipe"], () => {
    const now = wire.get("recipe");
    const rows = recipes();
    if (rows.map((row) => row.name).join("\n") !== [...radios.keys()].join("\n")) {
      radios.clear();
      list.replaceChildren(...rows.map((row) => option(row, group, radios)));
    }
    for (const [each, radio] of radios) radio.checked = each === now;
    const chosen = rows.find((row) => row.name === now);
    setText(name, now);
    button.title = [text.recipeNow + now, chosen?.summary].filter(Boolean).join("\n");
  });
  return choice;
}

function option(row: RecipeInfo, group: string, radios: Map<string, HTMLInputElement>): HTMLElement {
  const radio = el("input", { type: "radio", name: group, value: row.name, class: "peek-radio" });
  radios.set(row.name, radio);
  return el(
    "label",
    { class: "peek-recipe-option" },
    radio,
    el(
      "span",
      {},
      el("b", {}, row.name),
      el("span", { class: "peek-recipe-words" }, row.summary),
      el("span", { class: "peek-help" }, row.source),
    ),
  );
}
