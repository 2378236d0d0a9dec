/** Keys with a modifier (save, run this cell) belong to the notebook. */
const forNotebook = (event: KeyboardEvent): boolean =>
  event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");

/**
 * Keeps keys typed into the widget's controls (arrows, Enter, a, b, x ...) from running commands of the notebook.
 *
 * JupyterLab listens on an ancestor: the event stops at the root. Notebook 7 listens in the capture phase, before the
 * root, but respects an attribute of the element, which an even earlier listener at the window sets for each key.
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
      // On the element itself, because the notebook looks at the one with the focus.
      if (path.includes(root)) (path[0] as Element).toggleAttribute("data-lm-suppress-shortcuts", !forNotebook(event));
    },
    { capture: true, signal },
  );
}
