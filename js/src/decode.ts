// What the kernel's traits say, in forms that the page can use.

import type { Binary, Status } from "./protocol.gen";

/** Before the first message `status` is an empty object: read it as a run that has yet to start. */
export function readStatus(raw: Partial<Status> | null | undefined): Status {
  return {
    n: 0,
    run: 0,
    state: "starting",
    text: "",
    error: null,
    rate: 0,
    step: 0,
    total: 0,
    viewing: false,
    weights_changed: false,
    comparing: false,
    unit: 0,
    layer: "",
    size: 0,
    start: "",
    activation_before_relu: true,
    ...raw,
    checkpoints: raw?.checkpoints ?? [],
    values: raw?.values ?? {},
    recipe_values: raw?.recipe_values ?? {},
  };
}

/** Hosts hand binary traits over as a DataView or as a buffer. Returns null for an empty one. */
export function bytesOf(value: Binary | null | undefined): Uint8Array<ArrayBuffer> | null {
  if (!value || value.byteLength === 0) return null;
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
  }
  return new Uint8Array(value);
}

/** A point of the curve: a step, or some consecutive ones. */
export interface HistoryPoint {
  step: number;
  /** That of the picture itself; NaN where it was not measured. */
  activation: number;
  /** The lowest and the highest value that the random views had. */
  low: number;
  high: number;
}

/** `_history` is rows of little-endian float32; the view may start at any byte, which rules Float32Array out. */
export function readHistory(value: Binary | null | undefined): HistoryPoint[] {
  const bytes = bytesOf(value);
  if (!bytes) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const points: HistoryPoint[] = [];
  for (let at = 0; at + 16 <= view.byteLength; at += 16) {
    const field = (index: number): number => view.getFloat32(at + 4 * index, true);
    points.push({ step: field(0), activation: field(1), low: field(2), high: field(3) });
  }
  return points;
}
