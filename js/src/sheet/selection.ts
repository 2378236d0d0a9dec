/** The selected units of a sheet. The active unit has the focus; a range extends from the anchor to it. */
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

  /** Selects all units from the anchor to `unit` in the order shown; keeps the others too where `more` is set. */
  extend(unit: number, order: readonly number[], more = false): void {
    const [from, to] = [order.indexOf(this.anchor), order.indexOf(unit)].sort((a, b) => a - b) as [number, number];
    if (!more) this.units.clear();
    // Without its anchor, which a filter may have removed, the range is one unit.
    for (const each of from < 0 ? [unit] : order.slice(from, to + 1)) this.units.add(each);
    this.active = unit;
  }

  all(order: readonly number[]): void {
    for (const unit of order) this.units.add(unit);
  }

  /** The units that a command applies to: the selected ones, or the one with the focus. */
  get targets(): number[] {
    return this.units.size > 0 ? [...this.units].sort((a, b) => a - b) : [this.active];
  }
}
