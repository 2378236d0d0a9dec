import type { WidgetClient } from "../client";
import type { Topic } from "../topics";

/** What a panel gets: the client of its model, and the signal that ends the view. */
export interface View {
  client: WidgetClient;
  signal: AbortSignal;
}

/** Calls `update` now and whenever one of the topics changes. */
export function watch(view: View, topics: readonly Topic[], update: () => void): void {
  view.client.subscribe((changed) => {
    if (topics.some((topic) => changed.has(topic))) update();
  }, view.signal);
  update();
}

/** As `watch`, but at most once in `interval` ms; the last change is never lost. */
export function watchThrottled(view: View, topics: readonly Topic[], interval: number, update: () => void): void {
  watch(view, topics, throttled(update, interval, view.signal));
}

/** Limits `action` to one call in `interval` ms: the first is immediate, the last is never lost, none follows the abort. */
export function throttled(action: () => void, interval: number, signal: AbortSignal): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = -Infinity;
  const run = (): void => {
    timer = undefined;
    last = performance.now();
    action();
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return () => {
    if (timer !== undefined || signal.aborted) return;
    const wait = last + interval - performance.now();
    if (wait <= 0) run();
    else timer = setTimeout(run, wait);
  };
}
