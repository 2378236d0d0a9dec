// Numbers as they are typed and shown.

/** The nearest value in the range. */
export function clamp(value: number, minimum: number, maximum: number): number {
  return Math.min(Math.max(value, minimum), maximum);
}

/** The typed text as a whole number, clamped to the range; null where it is not a number. */
export function readWhole(typed: string, minimum: number, maximum: number): number | null {
  const value = typed.trim() === "" ? NaN : Number(typed);
  return Number.isFinite(value) ? clamp(Math.round(value), minimum, maximum) : null;
}

/** A size in pixels as it is typed: `192`, or height and width, `256 x 128`; null where it is neither. */
export function readSize(typed: string, minimum: number, maximum: number): [number, number] | null {
  const [height, width = height, more] = typed.split(/[x×,]/).map((side) => readWhole(side, minimum, maximum));
  return height && width && more === undefined ? [height, width] : null;
}

/** Writes a size as it is typed. */
export const formatSize = (size: number | readonly number[] | null): string => (size ? [size].flat().join(" × ") : "");

/** Formats with about three significant digits and a true minus sign; an exponent only outside the controls' ranges. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(1).replace(/-/g, "−");
  const digits = size === 0 ? 0 : Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(size))));
  return value.toFixed(digits).replace("-", "−");
}

/** Formats with a fixed number of decimals, so that a changing number does not jump. */
export function formatFixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–";
}
