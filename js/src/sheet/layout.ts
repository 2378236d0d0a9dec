// Which rows and columns of tiles the grid shows.

/** A range of rows. */
export interface Rows {
  first: number;
  /** One past the last row. */
  end: number;
}

/** As many tiles of about this size as fit beside each other, and the size at which they leave no strip empty. */
export function fitted(width: number, tile: number, gap: number): { columns: number; tile: number } {
  if (width < tile) return { columns: 1, tile };
  const columns = Math.max(1, Math.round((width + gap) / (tile + gap)));
  return { columns, tile: Math.floor((width + gap) / columns) - gap };
}

/** The rows in view and `spare` more above and below, so that scrolling never shows an empty one. */
export function rowsInView(top: number, height: number, row: number, rows: number, spare: number): Rows {
  const first = Math.max(0, Math.floor(top / row) - spare);
  const end = Math.min(rows, Math.ceil((top + height) / row) + spare);
  return { first: Math.min(first, Math.max(0, rows - 1)), end: Math.max(end, Math.min(rows, first + 1)) };
}
