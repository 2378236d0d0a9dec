import type { WidgetClient } from "../client";
import type { SheetStore } from "../stores/sheet";
import { folded } from "./order";

/** The tags of the current layer, and the commands that change them. The kernel stores them. */
export class LayerTags {
  constructor(
    private readonly client: WidgetClient,
    private readonly sheet: SheetStore,
  ) {}

  private get layer(): string {
    return this.client.wire.get("layer");
  }

  /** The tags of a unit: an empty list for one reviewed and untagged, undefined for one not reviewed. */
  readonly of = (unit: number): readonly string[] | undefined =>
    this.client.wire.get("tags")?.[this.layer]?.[String(unit)];

  has(unit: number, word: string): boolean {
    return Boolean(this.of(unit)?.some((each) => folded(each) === folded(word)));
  }

  /** Pairs of shortcut and tag. */
  keys(): [string, string][] {
    return Object.entries(this.client.wire.get("tag_keys") ?? {});
  }

  tagOf(key: string): string | undefined {
    return this.client.wire.get("tag_keys")?.[key];
  }

  /** The shortcut of a tag; "" for none. */
  keyOf(word: string): string {
    return this.keys().find(([, each]) => folded(each) === folded(word))?.[0] ?? "";
  }

  /** The best suggestion for a unit among the tags that it does not have yet. */
  suggestion(unit: number): { word: string; why: string } | null {
    const { suggestions } = this.sheet;
    if (suggestions?.layer !== this.layer) return null;
    const row = suggestions.rows.find(([each, word]) => each === unit && !this.has(unit, word));
    return row ? { word: row[1], why: row[2] } : null;
  }

  /** Adds the tag to all units, or removes it if all have it. */
  toggle(units: number[], word: string): void {
    this.set(units, [word], !units.every((unit) => this.has(unit, word)));
  }

  /** Adds (`on`) or removes tags. */
  set(units: number[], words: string[], on: boolean): void {
    this.sheet.request({ kind: "tag", layer: this.layer, units, words, on });
  }

  /** Marks units as reviewed and untagged, or as not reviewed if all are so marked. */
  toggleReviewed(units: number[]): void {
    const marked = units.every((unit) => this.of(unit)?.length === 0);
    this.sheet.request({ kind: "tag_reviewed", layer: this.layer, units, on: !marked });
  }

  /** Adds the suggested tag to each unit that has one. */
  accept(units: number[]): void {
    const words = new Map<string, number[]>();
    for (const unit of units) {
      const word = this.suggestion(unit)?.word;
      if (word) words.set(word, [...(words.get(word) ?? []), unit]);
    }
    for (const [word, those] of words) this.set(those, [word], true);
  }

  /** Gives a tag a shortcut; with the empty tag takes the shortcut away. */
  setKey(key: string, word: string): void {
    this.sheet.request({ kind: "key", key, word });
  }

  /** Undoes the last edit, or repeats the last one undone. */
  undo(redo: boolean): void {
    this.sheet.request({ kind: "undo", again: redo });
  }
}
