// The dialog of one unit: its tags, dataset examples and the code that reproduces it.
import { el, iconButton, textButton } from "../ui/dom";
import { number, recipeOf, type Sheet, type Unit } from "./data";
import { text } from "./text";

export interface Details {
  open(unit: Unit): void;
}

/** `move(by)` opens the unit `by` tiles further in the order shown. */
export function makeDetails(sheet: Sheet, source: (picture: string) => string, move: (by: number) => void): Details {
  const { signal } = new AbortController();
  const heading = el("h2", { id: "details-title", tabindex: "-1" });
  const picture = el("img", { class: "large", width: sheet.size[1], height: sheet.size[0] });
  const tags = el("p", { class: "tags" });
  const facts = el("p", { class: "muted" });
  const crops = el("div", { class: "crops" });
  const code = el("pre", { tabindex: "0", "aria-label": text.recipe });
  const save = el("a", { class: "peek-button" }, text.download);
  const said = el("span", { role: "status", class: "muted" });
  const copy = textButton(
    text.copy,
    () => {
      navigator.clipboard?.writeText(code.textContent ?? "").then(
        () => said.replaceChildren(text.copied),
        () => said.replaceChildren(text.notCopied),
      ) ?? said.replaceChildren(text.notCopied);
    },
    signal,
  );
  const dialog = el(
    "dialog",
    { "aria-labelledby": "details-title" },
    el(
      "div",
      { class: "bar" },
      heading,
      iconButton("left", text.previous, () => move(-1), signal),
      iconButton("right", text.next, () => move(1), signal),
      textButton(text.close, () => dialog.close(), signal),
    ),
    el("div", { class: "body" }, picture, el("div", {}, tags, facts, el("p", {}, save), crops)),
    el("h3", {}, text.recipe),
    code,
    el("p", {}, copy, " ", said),
  );
  dialog.addEventListener("keydown", (event) => {
    if (event.target === code || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    move(by);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);

  return {
    open(unit) {
      heading.textContent = text.unit(unit.u);
      picture.src = source(unit.p);
      picture.alt = text.spoken(unit.u, unit.t.join(", "));
      tags.replaceChildren(...unit.t.map((word) => el("span", { class: "tag" }, word)));
      facts.textContent = factsOf(unit);
      crops.replaceChildren(...(unit.c.length ? [el("h3", {}, text.crops), cropsOf(unit, source)] : []));
      code.textContent = recipeOf(sheet, unit);
      said.replaceChildren();
      save.href = source(unit.p);
      save.download = `${sheet.name}-unit-${unit.u}.${sheet.kind.split("/")[1]}`;
      if (!dialog.open) dialog.showModal();
      heading.focus();
    },
  };
}

export function factsOf(unit: Unit): string {
  const facts = [text.activation(number(unit.a)), text.seed(unit.s)];
  if (unit.g !== null) facts.splice(1, 0, text.gauge(unit.g.toFixed(2)));
  return facts.join(" · ");
}

export function cropsOf(unit: Unit, source: (picture: string) => string): HTMLElement {
  return el(
    "ul",
    { class: "strip" },
    ...unit.c.map((crop) =>
      el(
        "li",
        {},
        el("img", { src: source(crop.p), alt: "", width: 72, height: 72 }),
        el("span", { title: crop.a }, crop.l),
      ),
    ),
  );
}
