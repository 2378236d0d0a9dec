// Which rows and columns of tiles the grid shows.

/** A range of rows. */
export interface Rows {
  first: number;
  /** One past the last row. */
  end: number;
}

/** How many tiles fit beside each other. */
export function columnsFor(width: number, tile: number, gap: number): number {
  return Math.max(1, Math.floor((width + gap) / (tile + gap)));
}

/** The rows in view and `spare` more above and below, so that scrolling never shows an empty one. */
export function rowsInView(top: number, height: number, row: number, rows: number, spare: number): Rows {
  const first = Math.max(0, Math.floor(top / row) - spare);
  const end = Math.min(rows, Math.ceil((top + height) / row) + spare);
  return { first: Math.min(first, Math.max(0, rows - 1)), end: Math.max(end, Math.min(rows, first + 1)) };
}
