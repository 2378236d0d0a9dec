// The static page of a contact sheet: one file that needs neither kernel nor network (peek_widget/sheet/page.py).
import { el, textButton } from "../ui/dom";
import { makeCounts } from "./counts";
import type { Order, Query, Sheet, Unit } from "./data";
import { cropsOf, factsOf, makeDetails } from "./details";
import { makeGrid } from "./grid";
import { text } from "./text";

const TILES = [64, 88, 120, 160, 220, 300]; // pixels

start(JSON.parse(document.getElementById("sheet")?.textContent ?? "null"));

function start(sheet: Sheet): void {
  const { signal } = new AbortController();
  const source = (picture: string): string => `data:${sheet.kind};base64,${picture}`;
  let query: Query = { part: "" };
  let open: Unit | undefined;

  const search = el("input", { type: "search", id: "search", placeholder: text.search, title: text.searchHelp });
  const order = el("select", { id: "order" });
  for (const [name, words] of Object.entries(text.orders)) {
    if (name !== "likeness" || sheet.likeness) order.append(el("option", { value: name }, words));
  }
  const zoom = el("input", { type: "range", id: "zoom", min: 0, max: TILES.length - 1, step: 1, value: 2 });
  const shown = el("span", { role: "status", class: "muted" });
  const all = textButton(text.clear, () => look({ part: "" }), signal);
  const nothing = el("p", { class: "nothing" }, text.nothing);
  const card = makeCard(source);

  const details = makeDetails(sheet, source, (by) => {
    const next = open && grid.after(open, by);
    if (next) show(next);
  });
  const grid = makeGrid(sheet, source, { open: show, near: card });
  function show(unit: Unit): void {
    open = unit;
    card(null, null);
    details.open(unit);
  }
  document.querySelector("dialog")?.addEventListener("close", () => open && grid.focus(open));

  function draw(): void {
    const many = grid.show(order.value as Order, query);
    shown.textContent = text.shown(many, sheet.units.length);
    nothing.hidden = many > 0;
    all.hidden = many === sheet.units.length;
  }
  function look(wanted: Query): void {
    query = wanted;
    search.value = wanted === "untagged" ? "" : "tag" in wanted ? wanted.tag : wanted.part;
    draw();
  }
  function scale(): void {
    grid.root.style.setProperty("--tile", `${TILES[Number(zoom.value)]}px`);
    zoom.setAttribute("aria-valuetext", `${TILES[Number(zoom.value)]} px`);
  }
  search.addEventListener("input", () => {
    query = { part: search.value };
    draw();
  });
  order.addEventListener("change", draw);
  zoom.addEventListener("input", scale);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") card(null, null);
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
    const by = { "+": 1, "=": 1, "-": -1 }[event.key];
    if (event.key === "/") search.focus();
    else if (by) {
      zoom.valueAsNumber += by;
      scale();
    } else return;
    event.preventDefault();
  });

  const labeled = (label: string, control: HTMLElement): HTMLElement =>
    el("label", { for: control.id }, el("span", {}, label), control);
  document.body.prepend(
    el(
      "header",
      {},
      el("h1", {}, sheet.title),
      el("p", { class: "muted" }, sheet.about.join(" · ")),
      makeCounts(sheet, look),
    ),
    el(
      "div",
      { class: "bar tools", role: "search" },
      labeled(text.search, search),
      labeled(text.sort, order),
      labeled(text.zoom, zoom),
      shown,
      all,
    ),
    el("main", {}, grid.root, nothing),
  );
  scale();
  draw();
  const named = (): void => {
    const unit = sheet.units.find(({ u }) => location.hash === `#unit-${u}`);
    if (unit) show(unit);
  };
  window.addEventListener("hashchange", named);
  named();
}

/** A small card beside the tile under the pointer or the keyboard. */
function makeCard(source: (picture: string) => string): (unit: Unit | null, tile: HTMLElement | null) => void {
  const card = el("aside", { class: "card", "aria-hidden": "true" });
  let leaving = 0;
  card.hidden = true;
  card.addEventListener("pointerenter", () => clearTimeout(leaving));
  card.addEventListener("pointerleave", () => {
    card.hidden = true;
  });
  document.body.append(card);
  return (unit, tile) => {
    clearTimeout(leaving);
    if (!unit || !tile) {
      // Delayed, so that the pointer can move to the card.
      leaving = window.setTimeout(() => {
        card.hidden = true;
      }, 150);
      return;
    }
    card.replaceChildren(
      el("strong", {}, text.unit(unit.u)),
      ...unit.t.map((word) => el("span", { class: "tag" }, word)),
      el("p", { class: "muted" }, factsOf(unit)),
      ...(unit.c.length ? [cropsOf(unit, source)] : []),
    );
    card.hidden = false;
    const at = tile.getBoundingClientRect();
    const [width, height] = [card.offsetWidth + 4, card.offsetHeight + 4];
    const below = at.bottom + height < innerHeight;
    const above = at.top > height;
    // Beside the tile in a low window without room below or above it.
    const top = below ? at.bottom + 4 : above ? at.top - height : innerHeight - height;
    const left = below || above ? at.left : at.right + 4;
    card.style.insetBlockStart = `${Math.max(4, top)}px`;
    card.style.insetInlineStart = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - width))}px`;
  };
}
