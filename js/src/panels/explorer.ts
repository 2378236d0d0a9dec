import type { WidgetClient } from "../client";
import { isolateKeys } from "../host/shortcuts";
import { text } from "../text";
import { el, type IconName, iconButton } from "../ui/dom";
import { keepFocus } from "../ui/focus";
import { explainLabels } from "../ui/help";
import { type Tab, tabPanel } from "../ui/tabs";
import { type View, watch } from "../ui/view";
import { curvePanel } from "./curve";
import { knobsPanel } from "./knobs";
import { circuitTab, compareTab, detailsTab, examplesTab, gaugePanel, photoTab, sheetTab } from "./lazy";
import { pickerPanel, slidersPanel } from "./picker";
import { picturePanel } from "./picture";
import { recipePanel } from "./recipe";
import { savePanel } from "./save";
import { seedsPanel } from "./seeds";
import { statusPanel } from "./status";
import { transportPanel } from "./transport";

type Panel = (view: View) => HTMLElement;

/**
 * The tabs beside the picture, in order. A new tab is a function in lazy.ts with its content in a file of lazy/, and is
 * named here.
 */
const TABS: readonly ((view: View) => Tab)[] = [examplesTab, sheetTab, compareTab, circuitTab, photoTab, detailsTab];

/**
 * The slots of the explorer in reading order, and the panels in each. A new panel is named here and has a style sheet
 * beside it; explorer.css says where the slots lie at which width.
 */
const SLOTS: Record<string, readonly Panel[]> = {
  bar: [pickerPanel, recipePanel, savePanel, statusPanel],
  picture: [picturePanel, seedsPanel, transportPanel],
  rail: [slidersPanel, knobsPanel, gaugePanel, curvePanel],
};

/** Puts a view of the client into `host` and removes all of it once `signal` aborts. */
export function mountExplorer(client: WidgetClient, host: HTMLElement, signal: AbortSignal): void {
  const view: View = { client, signal };
  // A fieldset, because it can disable all the controls in it at once.
  const main = el("fieldset", { class: "peek-main" });
  for (const [slot, panels] of Object.entries(SLOTS)) {
    const box = el("div", { class: `peek-slot peek-at-${slot}` }, ...panels.map((panel) => panel(view)));
    box.style.gridArea = slot;
    main.append(box);
  }
  // It takes the focus of a click on the picture, say: else the notebook would, and "d d" would delete the cell.
  const root = el("section", { class: "peek-root", "aria-label": text.title, tabindex: -1 }, main);
  const tools = [
    toggle("widen", text.widen, main, "peek-wide", signal),
    toggle("lecture", text.lecture, root, "peek-lecture", signal),
  ];
  const tabs = TABS.map((tab) => tab(view));
  const beside = el("div", { class: "peek-slot peek-at-tabs" }, tabPanel(view, text.tabs, tabs, ...tools));
  beside.style.gridArea = "tabs";
  main.append(beside);
  // In a frame as high as its content the window's height says nothing.
  if (window !== window.top) root.classList.add("peek-framed");

  isolateKeys(root, signal);

  watch(view, ["evidence_status"], () => {
    main.classList.toggle("peek-with-images", client.hasDataset);
  });
  watch(view, ["health"], () => {
    main.disabled = client.connection.health === "gone";
    root.dataset.peekHealth = client.connection.health;
  });
  // Tests wait for these data attributes, and never for a time; nothing else reads them.
  watch(view, ["status", "drawn", "frame", "step"], () => {
    const { frames, status } = client;
    root.dataset.peekReceived = String(frames.received);
    root.dataset.peekDrawn = String(frames.drawn);
    root.dataset.peekN = String(frames.n);
    root.dataset.peekState = status.state;
    root.dataset.peekRun = String(status.run);
    root.dataset.peekStep = String(status.step);
  });
  watch(view, ["seeds"], () => {
    const { seeds } = client.seeds;
    // The picture makes room for the strip, so that both are seen without scrolling.
    root.classList.toggle("peek-with-seeds", seeds.length > 0);
    root.dataset.peekSeeds = seeds.join();
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
  // Last, so that it looks at the focus after every panel has been updated.
  keepFocus(view, root);
  // Escape closes the large example from anywhere in the widget.
  root.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Escape" && !event.defaultPrevented && client.crops.opened) client.crops.open(0);
    },
    { signal },
  );

  host.classList.add("peek-host");
  host.append(root);
  // Jupyter marks a widget without a kernel, as in a saved notebook.
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

/** Makes a button that turns a class of an element on and off. */
function toggle(name: IconName, label: string, of: HTMLElement, kind: string, signal: AbortSignal): HTMLElement {
  const button = iconButton(
    name,
    label,
    () => button.setAttribute("aria-pressed", String(of.classList.toggle(kind))),
    signal,
  );
  button.classList.add(`peek-tool-${name}`);
  button.setAttribute("aria-pressed", "false");
  return button;
}
