import type { ExportedFile } from "../stores/exports";
import { text } from "../text";
import { el } from "./dom";

/** Hands a file to the browser to save, unless `signal` has aborted; returns what to tell the user about it. */
export function download(file: ExportedFile, signal: AbortSignal): string {
  if (!file.bytes || signal.aborted) return file.problem;
  const url = URL.createObjectURL(new Blob([file.bytes]));
  el("a", { href: url, download: file.name }).click();
  URL.revokeObjectURL(url);
  return `${text.saved(file.name)} ${file.note}`;
}
