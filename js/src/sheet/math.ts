// What the contact sheet computes without a page: which rows to show, where a key leads, what is selected, in which
// order the units lie.

export interface Rows {
  first: number;
  /** One past the last. */
  end: number;
}

export function columnsFor(width: number, tile: number, gap: number): number {
  return Math.max(1, Math.floor((width + gap) / (tile + gap)));
}

/** The rows that can be seen, and `spare` more above and below, so that a scroll never meets an empty one. */
export function rowsInView(top: number, height: number, row: number, rows: number, spare: number): Rows {
  const first = Math.max(0, Math.floor(top / row) - spare);
  const end = Math.min(rows, Math.ceil((top + height) / row) + spare);
  return { first: Math.min(first, Math.max(0, rows - 1)), end: Math.max(end, Math.min(rows, first + 1)) };
}

/** Where a key leads from place `at` among `count` places in rows of `columns`; null for a key that leads nowhere. */
export function moved(key: string, at: number, columns: number, count: number, page: number): number | null {
  const steps: Record<string, number> = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: at - columns < 0 ? at : at - columns,
    ArrowDown: at + columns >= count ? at : at + columns,
    PageUp: at - columns * page < 0 ? at % columns : at - columns * page,
    PageDown: Math.min(at + columns * page, count - 1),
    Home: 0,
    End: count - 1,
  };
  const to = steps[key];
  return to === undefined || count === 0 ? null : Math.min(Math.max(to, 0), count - 1);
}

/** The selected units. The active one has the focus; a range reaches from the anchor to it. */
export class Selection {
  readonly units = new Set<number>();
  active = 0;
  private anchor = 0;

  only(unit: number): void {
    this.units.clear();
    this.units.add(unit);
    this.active = this.anchor = unit;
  }

  toggle(unit: number): void {
    if (!this.units.delete(unit)) this.units.add(unit);
    this.active = this.anchor = unit;
  }

  /** All from the anchor to `unit` as they lie; keeps the others where `more` is set. */
  extend(unit: number, order: readonly number[], more = false): void {
    const [from, to] = [order.indexOf(this.anchor), order.indexOf(unit)].sort((a, b) => a - b) as [number, number];
    if (!more) this.units.clear();
    // An anchor that has been filtered away begins nothing.
    for (const each of from < 0 ? [unit] : order.slice(from, to + 1)) this.units.add(each);
    this.active = unit;
  }

  all(order: readonly number[]): void {
    for (const unit of order) this.units.add(unit);
  }

  /** What a command means: the selected units, or the one with the focus. */
  get targets(): number[] {
    return this.units.size > 0 ? [...this.units].sort((a, b) => a - b) : [this.active];
  }
}

/** How two spellings of a word are told to be the same, near enough to Python's own rule for a look-up. */
export const folded = (word: string): string => word.normalize("NFC").trim().toLowerCase();

export type Words = (unit: number) => readonly string[] | undefined;

/** Units still without any word, and not marked as looked at. */
export const UNSEEN = "\0unseen";

/** The letter of a key press that may stand for a word, whatever script the keyboard writes; "" for another key. */
export function letterOf(key: string, code: string): string {
  if (/^[a-z]$/i.test(key)) return key.toLowerCase();
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  return letter && key.length === 1 && key > "\x7f" ? letter.toLowerCase() : "";
}

export type Sort = "unit" | "activation" | "tag" | "similarity";

export interface Wanted {
  total: number;
  sort: Sort;
  /** What was typed: part of a word, or a unit's number. */
  search: string;
  /** A word that the units must have, or UNSEEN; "" for any. */
  word: string;
}

/** The units in the order in which they lie. What is not drawn, not tagged or not compared yet comes last. */
export function ordered(
  { total, sort, search, word }: Wanted,
  words: Words,
  activation: (unit: number) => number,
  alike: readonly number[],
): number[] {
  const typed = folded(search);
  const wanted = folded(word);
  const units = Array.from({ length: total }, (_, unit) => unit).filter((unit) => {
    const has = words(unit);
    if (word === UNSEEN ? has : word && !has?.some((each) => folded(each) === wanted)) return false;
    return !typed || String(unit) === typed || has?.some((each) => folded(each).includes(typed));
  });
  if (sort === "unit") return units;
  const place = new Map(alike.map((unit, at) => [unit, at]));
  const rank: Record<Exclude<Sort, "unit">, (unit: number) => number | string> = {
    activation: (unit) => (Number.isNaN(activation(unit)) ? Infinity : -activation(unit)),
    tag: (unit) => folded(words(unit)?.[0] ?? "\uffff"),
    similarity: (unit) => place.get(unit) ?? Infinity,
  };
  const ranks = new Map(units.map((unit) => [unit, rank[sort](unit)]));
  return units.sort((a, b) => {
    const [one, other] = [ranks.get(a) ?? 0, ranks.get(b) ?? 0];
    return one < other ? -1 : one > other ? 1 : a - b;
  });
}
