import { curvePanel } from "./curve";
import { el } from "./dom";
import { gaugePanel } from "./gauge";
import { knobsPanel, recipePanel } from "./knobs";
import { headingPanel, pickerPanel } from "./picker";
import { picturePanel } from "./picture";
import { hasImages, realPanel } from "./real";
import type { Session } from "./session";
import { footerPanel, statusPanel } from "./status";
import { text } from "./text";
import { transportPanel } from "./transport";
import { watch, type View } from "./view";

/** Puts one view of the session into `host`; everything it made is gone once `signal` aborts. */
export function mountExplorer(session: Session, host: HTMLElement, signal: AbortSignal): void {
  const view: View = { session, signal };
  // fieldset: the one element that switches off every control in it at once.
  const bench = el("fieldset", { class: "peek-bench" });
  const root = el("section", { class: "peek-root", "aria-label": text.title }, bench);
  bench.append(
    el("div", { class: "peek-left" }, picturePanel(view), transportPanel(view), gaugePanel(view)),
    realPanel(view),
    el("div", { class: "peek-middle" }, headingPanel(view), pickerPanel(view), curvePanel(view), statusPanel(view)),
    el("div", { class: "peek-right" }, recipePanel(view), knobsPanel(view)),
  );
  root.append(footerPanel(view));

  // JupyterLab listens above us for arrows, Enter, a, b, x ...: typing into a control is not a command.
  // What is said with a modifier (save, run this cell) stays the notebook's.
  root.addEventListener(
    "keydown",
    (event) => {
      const forNotebook = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
      if (!forNotebook) event.stopPropagation();
    },
    { signal },
  );

  watch(view, ["evidence"], () => {
    bench.classList.toggle("peek-with-images", hasImages(session));
  });
  watch(view, ["health"], () => {
    bench.disabled = session.attention.health === "gone";
    root.dataset.peekHealth = session.attention.health;
  });
  // For tests, which wait on these and never on time. Documented here; nothing reads them but tests.
  watch(view, ["status", "drawn", "frame", "step"], () => {
    const { store, status } = session;
    root.dataset.peekReceived = String(store.received);
    root.dataset.peekDrawn = String(store.drawn);
    root.dataset.peekN = String(store.n);
    root.dataset.peekState = status.state;
    root.dataset.peekRun = String(status.run);
    root.dataset.peekStep = String(status.step);
  });
  watch(view, ["evidence", "crops", "large"], () => {
    const { set, pictures, large } = session.crops;
    root.dataset.peekEvidence = session.wire.get("evidence")?.state ?? "none";
    root.dataset.peekImages = String(session.wire.get("evidence")?.images ?? 0);
    root.dataset.peekCrops = String(set?.crops.length ?? 0);
    root.dataset.peekCropsOf = set ? `${set.layer}/${set.unit}` : "";
    root.dataset.peekThumbs = String(pictures.size);
    root.dataset.peekLarge = String(large?.id ?? 0);
  });

  host.append(root);
  const unwatch = session.attention.watch(root);
  signal.addEventListener(
    "abort",
    () => {
      unwatch();
      root.remove();
    },
    { once: true },
  );
}
