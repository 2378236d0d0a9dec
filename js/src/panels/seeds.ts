import { text } from "../text";
import { el, setProperty, setText } from "../ui/dom";
import { type View, watch } from "../ui/view";

interface Tile {
  element: HTMLButtonElement;
  show(seed: number, picture: ImageBitmap | null): void;
}

/** The pictures of all seeds drawn at once, below the large one, which is one of them; a click draws another large. */
export function seedsPanel(view: View): HTMLElement {
  const { client } = view;
  const tiles: Tile[] = [];
  const strip = el("div", { class: "peek-seeds", role: "group", "aria-label": text.seeds, hidden: true });
  watch(view, ["seeds"], () => {
    const { seeds, pictures } = client.seeds;
    setProperty(strip, "hidden", seeds.length === 0);
    for (const { element } of tiles.splice(seeds.length)) element.remove();
    while (tiles.length < seeds.length) {
      const made = tileOf(view);
      tiles.push(made);
      strip.append(made.element);
    }
    seeds.forEach((seed, at) => tiles[at]?.show(seed, pictures[at] ?? null));
  });
  watch(view, ["seeds", "seed"], () => {
    client.seeds.seeds.forEach((seed, at) =>
      tiles[at]?.element.setAttribute("aria-pressed", String(seed === client.wire.get("seed"))),
    );
  });
  return strip;
}

function tileOf({ client, signal }: View): Tile {
  const canvas = el("canvas", { class: "peek-seed-picture" });
  const number = el("span");
  const word = el("span", { class: "peek-seed-word" }, text.seedTile);
  const element = el("button", { type: "button", class: "peek-seed-tile" }, canvas, word, number);
  let seed = 0;
  element.addEventListener(
    "click",
    () => {
      client.wire.edit({ seed });
      client.connection.expectReply();
    },
    { signal },
  );
  return {
    element,
    show(shown, picture) {
      seed = shown;
      setText(number, String(seed));
      element.setAttribute("aria-label", text.seedSpoken(seed));
      element.title = text.seedHelp(seed);
      if (!picture) return;
      canvas.width = picture.width;
      canvas.height = picture.height;
      canvas.getContext("2d")?.drawImage(picture, 0, 0);
    },
  };
}
