import type { WidgetClient } from "../client";
import { isolateKeys } from "../host/shortcuts";
import { text } from "../text";
import { el } from "../ui/dom";
import { keepFocus } from "../ui/focus";
import { explainLabels } from "../ui/help";
import { type View, watch } from "../ui/view";
import { curvePanel } from "./curve";
import { examplesPanel } from "./examples";
import { knobsPanel } from "./knobs";
import { comparePanel, gaugePanel, sheetPanel } from "./lazy";
import { objectivePanel } from "./objective";
import { headingPanel, pickerPanel } from "./picker";
import { picturePanel } from "./picture";
import { recipePanel } from "./recipe";
import { savePanel } from "./save";
import { footerPanel, statusPanel } from "./status";
import { transportPanel } from "./transport";

type Panel = (view: View) => HTMLElement;

/**
 * The places of the bench in reading order, and the panels in each. A new panel is named here and has a style sheet
 * of its own in css/; where the places lie at which width is css/layout.css. What opens only when it is wanted is a
 * section of later.ts and belongs in `below`.
 */
const PLACES: Record<string, readonly Panel[]> = {
  picture: [picturePanel, transportPanel, savePanel, gaugePanel],
  images: [examplesPanel],
  unit: [headingPanel, pickerPanel, objectivePanel, curvePanel, statusPanel],
  recipe: [recipePanel, knobsPanel],
  below: [sheetPanel, comparePanel],
};

/** Puts one view of the client into `host`; everything it made is gone once `signal` aborts. */
export function mountExplorer(client: WidgetClient, host: HTMLElement, signal: AbortSignal): void {
  const view: View = { client, signal };
  // fieldset: the one element that switches off every control in it at once.
  const bench = el("fieldset", { class: "peek-main" });
  for (const [place, panels] of Object.entries(PLACES)) {
    const part = el("div", { class: `peek-slot peek-at-${place}` }, ...panels.map((panel) => panel(view)));
    part.style.gridArea = place;
    bench.append(part);
  }
  const root = el("section", { class: "peek-root", "aria-label": text.title }, bench, footerPanel(view));

  isolateKeys(root, signal);

  watch(view, ["evidence_status"], () => {
    bench.classList.toggle("peek-with-images", client.hasDataset);
  });
  watch(view, ["health"], () => {
    bench.disabled = client.connection.health === "gone";
    root.dataset.peekHealth = client.connection.health;
  });
  // For tests, which wait on these and never on time. Documented here; nothing reads them but tests.
  watch(view, ["status", "drawn", "frame", "step"], () => {
    const { frames, status } = client;
    root.dataset.peekReceived = String(frames.received);
    root.dataset.peekDrawn = String(frames.drawn);
    root.dataset.peekN = String(frames.n);
    root.dataset.peekState = status.state;
    root.dataset.peekRun = String(status.run);
    root.dataset.peekStep = String(status.step);
  });
  watch(view, ["evidence_status", "crops", "large"], () => {
    const { set, pictures, large } = client.crops;
    root.dataset.peekEvidence = client.wire.get("evidence_status")?.state ?? "none";
    root.dataset.peekImages = String(client.wire.get("evidence_status")?.images ?? 0);
    root.dataset.peekCrops = String(set?.crops.length ?? 0);
    root.dataset.peekCropsOf = set ? `${set.layer}/${set.unit}` : "";
    root.dataset.peekThumbs = String(pictures.size);
    root.dataset.peekLarge = String(large?.id ?? 0);
  });

  watch(view, ["compared"], () => {
    const comparison = client.lazy.loaded?.comparison;
    root.dataset.peekCompare = comparison?.set?.state ?? "";
    root.dataset.peekCompared = String(comparison?.pictures.filter(Boolean).length ?? 0);
  });

  explainLabels(view, root);
  // Last, so that every panel has shown what is new when it looks.
  keepFocus(view, root);
  // From wherever in the widget: the large image lies open until it is put away.
  root.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Escape" && !event.defaultPrevented && client.crops.opened) client.crops.open(0);
    },
    { signal },
  );

  host.append(root);
  // Jupyter marks a widget that has no line to a kernel: one out of a saved notebook.
  if (host.closest(".jupyter-widgets-disconnected")) client.connection.lineChanged();
  const unwatch = client.connection.watch(root);
  signal.addEventListener(
    "abort",
    () => {
      unwatch();
      root.remove();
    },
    { once: true },
  );
}
