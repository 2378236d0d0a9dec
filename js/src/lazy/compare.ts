import { saved } from "../panels/save";
import {
  type Binary,
  type ComparisonSet,
  type ControlValues,
  type Inbound,
  LARGEST_SEED,
  type Outbound,
} from "../protocol";
import { decoded } from "../stores/crops";
import { formatNumber } from "../text";
import { clamp, numberBox } from "../ui/controls";
import { el, setText, textButton } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { text } from "./text";

const FEWEST = 2;
const MOST = 6;
/** Acks are cumulative, and each makes JupyterLab repaint its kernel status. */
const ACK_MS = 250;

/** The compared pictures of one model: a whole set is decoded at a time, and the newest one waiting wins. */
export class ComparisonStore {
  set: ComparisonSet | null = null;
  pictures: (ImageBitmap | null)[] = [];
  private waiting: { n: number; buffers: readonly Binary[] } | null = null;
  private decoding = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private newest = 0;
  private disposed = false;

  constructor(
    private readonly send: (message: Outbound) => void,
    private readonly onChange: () => void,
  ) {}

  draw(what: What, values: readonly (string | number)[]): void {
    this.send({ kind: "compare", what, values });
  }

  receive(content: unknown, buffers: readonly Binary[]): void {
    const message = content as Inbound | null;
    if (message?.kind !== "compare") return;
    this.set = message;
    if (buffers.length > 0) {
      this.waiting = { n: message.n, buffers };
      void this.pump();
    } else if (message.items.length !== this.pictures.length) {
      this.drop();
    }
    this.onChange();
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
    this.drop();
  }

  private drop(): void {
    this.waiting = null;
    for (const picture of this.pictures) picture?.close();
    this.pictures = [];
  }

  private async pump(): Promise<void> {
    if (this.decoding) return;
    this.decoding = true;
    while (this.waiting) {
      const { n, buffers } = this.waiting;
      this.waiting = null;
      const pictures = await Promise.all(buffers.map(decoded));
      const stale = this.disposed || this.set?.items.length !== pictures.length;
      for (const picture of stale ? pictures : this.pictures) picture?.close();
      if (stale) continue;
      this.pictures = pictures;
      this.ack(n);
      this.onChange();
    }
    this.decoding = false;
  }

  private ack(n: number): void {
    this.newest = n;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.send({ kind: "compare_ack", n: this.newest });
    }, ACK_MS);
  }
}

type What = keyof typeof text.compareKinds;

/** What to set beside each other, and the pictures in step. */
export function compareContents(view: View, compared: ComparisonStore): HTMLElement[] {
  const { session, signal } = view;
  const { wire } = session;
  let count = 3;

  const kind = el(
    "select",
    { class: "peek-select", "aria-label": text.compareWhat },
    ...Object.entries(text.compareKinds).map(([value, words]) => el("option", { value }, words)),
  );
  const boxes = el("div", { class: "peek-choices", role: "group", "aria-label": text.compareRecipes });
  const number = numberBox(
    text.compareCount,
    (value) => {
      count = clamp(value, FEWEST, MOST);
      update();
    },
    signal,
  );
  const what = (): What => kind.value as What;
  const draw = textButton("", () => compared.draw(what(), values()), signal);
  const save = (): void => void session.keeper.ask("figure").then((kept) => setText(line, saved(kept, view)));
  const title = el("span", { class: "peek-spring" });
  const line = el("p", { class: "peek-help", role: "status" });
  const problem = el("p", { class: "peek-error", role: "alert" });
  const grid = el("div", { class: "peek-compared" });
  const tiles: Tile[] = [];

  const chosen = (): string[] => [...boxes.querySelectorAll<HTMLInputElement>(":checked")].map((box) => box.value);
  /** From the one on the bench on, or the last ones of the layer. */
  const values = (): (string | number)[] => {
    if (what() === "recipes") return chosen();
    const layer = wire.get("_layer_list")?.find((one) => one.name === wire.get("layer"));
    const end = what() === "seeds" ? LARGEST_SEED : (layer?.channels ?? 1) - 1;
    const first = Math.max(0, Math.min(wire.get(what() === "seeds" ? "seed" : "unit"), end - count + 1));
    return Array.from({ length: Math.min(count, end + 1) }, (_, at) => first + at);
  };
  const update = (): void => {
    boxes.hidden = what() !== "recipes";
    number.input.hidden = !boxes.hidden;
    number.show(count, MOST);
    const list = values();
    draw.disabled = list.length < FEWEST || list.length > MOST;
    setText(draw, draw.disabled ? text.compareChoose : text.compareDraw(list.length, text.compareKinds[what()]));
  };
  kind.addEventListener("change", update, { signal });
  boxes.addEventListener("change", update, { signal });
  watch(view, ["_recipe_list"], () => {
    // To begin with the one on the bench, ours and the article's, which differ in nearly everything.
    const on = boxes.hasChildNodes() ? chosen() : [wire.get("recipe"), "peek", "oygard-2016"];
    boxes.replaceChildren(
      ...(wire.get("_recipe_list") ?? []).map(({ name: value }) => {
        const box = el("input", { type: "checkbox", class: "peek-radio", value, checked: on.includes(value) });
        return el("label", { class: "peek-inline" }, box, value);
      }),
    );
    update();
  });
  watch(view, ["seed", "unit", "layer", "_layer_list"], update);

  const shown = el(
    "div",
    { class: "peek-group" },
    el(
      "div",
      { class: "peek-inline" },
      title,
      textButton(text.saveFigure, save, signal, text.saveFigureHelp),
      textButton(text.compareClose, () => compared.draw(what(), []), signal),
    ),
    problem,
    grid,
    line,
  );
  watch(view, ["compared"], () => {
    const { set, pictures } = compared;
    const state = set?.state ?? "";
    shown.hidden = !state;
    setText(title, set?.title ?? "");
    setText(line, set?.text ?? "");
    problem.hidden = !set?.problem;
    setText(problem, set?.problem ?? "");
    for (const _ of set?.items.slice(tiles.length) ?? []) {
      const made = tile(view);
      tiles.push(made);
      grid.append(made.element);
    }
    tiles.forEach((each, at) => each.show(set?.items[at], pictures[at] ?? null));
    grid.style.setProperty("--count", String(set?.items.length ?? 0));
  });
  return [el("div", { class: "peek-choices" }, kind, boxes, number.input, draw), shown];
}

interface Tile {
  element: HTMLElement;
  show(item: ComparisonSet["items"][number] | undefined, picture: ImageBitmap | null): void;
}

/** A picture with its activation on the scale of all of them; a click puts it on the bench. */
function tile({ session, signal }: View): Tile {
  const canvas = el("canvas", { class: "peek-thumb" });
  const caption = el("span", { class: "peek-tile-label" });
  const number = el("span");
  const bar = el("span", { class: "peek-compared-bar" });
  const note = el("span", { class: "peek-help" });
  const element = el("button", { type: "button", class: "peek-tile" }, canvas, number, caption, bar, note);
  let controls: ControlValues = {};
  element.addEventListener(
    "click",
    () => {
      session.wire.edit(controls);
      session.attention.expectReply();
    },
    { signal },
  );
  return {
    element,
    show(item, picture) {
      element.hidden = !item;
      if (picture) {
        canvas.width = picture.width;
        canvas.height = picture.height;
        canvas.getContext("2d")?.drawImage(picture, 0, 0);
      }
      if (!item) return;
      controls = item.controls;
      element.disabled = Object.keys(controls).length === 0;
      element.title = element.disabled ? "" : text.open(item.caption);
      setText(caption, item.caption);
      setText(number, item.activation === null ? "" : formatNumber(item.activation));
      setText(note, item.note);
      bar.style.setProperty("--from", `${item.bar[0]}%`);
      bar.style.setProperty("--to", `${item.bar[1]}%`);
    },
  };
}
