/** What is said with a modifier (save, run this cell) stays the notebook's. */
const forNotebook = (event: KeyboardEvent): boolean =>
  event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");

/**
 * Keeps the notebook's commands (arrows, Enter, a, b, x ...) off what is typed into the widget's controls.
 *
 * JupyterLab listens above us, and is kept from hearing. Notebook 7 listens on the way down, before us, but asks the
 * element for an attribute first; it is set for each key by one who hears even earlier, at the window.
 */
export function isolateKeys(root: HTMLElement, signal: AbortSignal): void {
  root.addEventListener(
    "keydown",
    (event) => {
      if (!forNotebook(event)) event.stopPropagation();
    },
    { signal },
  );
  window.addEventListener(
    "keydown",
    (event) => {
      const path = event.composedPath();
      // the element itself: the notebook's commands ask for what has the focus, wherever it lies
      if (path.includes(root)) (path[0] as Element).toggleAttribute("data-lm-suppress-shortcuts", !forNotebook(event));
    },
    { capture: true, signal },
  );
}
