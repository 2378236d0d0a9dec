// The data of a sheet's page, as peek_widget/sheet/page.py writes it, and its order and search.

export interface Crop {
  /** The picture, base64. */
  readonly p: string;
  /** Its label or file name. */
  readonly l: string;
  /** Its activation as text. */
  readonly a: string;
}

export interface Unit {
  readonly u: number;
  readonly p: string;
  readonly a: number;
  readonly g: number | null;
  readonly s: number;
  readonly t: readonly string[];
  /** Whether it was reviewed. */
  readonly l: boolean;
  readonly c: readonly Crop[];
  /** The objective as a Python expression. */
  readonly o: string;
}

export interface Sheet {
  readonly title: string;
  readonly about: readonly string[];
  /** The media type of pictures and crops, e.g. image/webp. */
  readonly kind: string;
  readonly name: string;
  /** Height and width of the pictures. */
  readonly size: readonly [number, number];
  readonly total: number;
  readonly seen: number;
  readonly counts: readonly { readonly word: string; readonly units: number; readonly text: string }[];
  readonly recipe: string;
  readonly units: readonly Unit[];
  /** Indices into `units` in the order of similarity; null where they could not be compared. */
  readonly likeness: readonly number[] | null;
}

export type Order = "unit" | "activation" | "tag" | "likeness";

/** A search: part of a tag or a unit number, exactly one tag, or the reviewed units without tags. */
export type Query = { readonly part: string } | { readonly tag: string } | "untagged";

export const fold = (words: string): string => words.normalize("NFC").toLowerCase();

export function ordered(sheet: Sheet, order: Order): Unit[] {
  const units = [...sheet.units];
  const rank = new Map(sheet.counts.map(({ word }, at) => [word, at]));
  const last = (unit: Unit): number => Math.min(...unit.t.map((word) => rank.get(word) ?? rank.size), rank.size);
  switch (order) {
    case "unit":
      return units;
    case "activation":
      return units.sort((a, b) => b.a - a.a || a.u - b.u);
    case "tag":
      return units.sort((a, b) => last(a) - last(b) || Number(b.l) - Number(a.l) || a.u - b.u);
    case "likeness":
      return sheet.likeness ? sheet.likeness.flatMap((at) => units[at] ?? []) : units;
  }
}

export function fits(unit: Unit, query: Query): boolean {
  if (query === "untagged") return unit.l && unit.t.length === 0;
  if ("tag" in query) return unit.t.includes(query.tag);
  const part = fold(query.part).trim().replace(/\s+/g, " ");
  if (!part) return true;
  const range = /^(\d+)\s*[-–]\s*(\d+)$/.exec(part);
  if (range) return unit.u >= Number(range[1]) && unit.u <= Number(range[2]);
  return String(unit.u) === part || unit.t.some((word) => fold(word).includes(part));
}

/** The size as Python has it: one number for a square. */
function sizeOf({ size: [height, width] }: Sheet): string {
  return height === width ? String(height) : `(${height}, ${width})`;
}

/** The Python code that reproduces the picture. */
export function recipeOf(sheet: Sheet, unit: Unit): string {
  return (
    "from peek_widget import Channel, Logit, Neuron, Recipe, render\n\n" +
    `recipe = Recipe.from_json(${JSON.stringify(sheet.recipe)})\n` +
    `render(model, ${unit.o}, recipe, seed=${unit.s}, size=${sizeOf(sheet)})`
  );
}

export function number(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
