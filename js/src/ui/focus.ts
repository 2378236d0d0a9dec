import type { View } from "./view";

const CONTROLS = "button, input, select, summary, a[href], [tabindex='0']";

/**
 * Keeps the focus in the widget when the control that has it is switched off or goes away, as "next" does at the last
 * unit: it would fall to the page, and the next key with it, and whoever has no pointer would begin again at the top.
 */
export function keepFocus(view: View, root: HTMLElement): void {
  const { signal } = view;
  let last: HTMLElement | null = null;
  let at = -1;
  const all = (): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(CONTROLS)];
  root.addEventListener(
    "focusin",
    (event) => {
      last = event.target as HTMLElement;
      at = all().indexOf(last);
    },
    { signal },
  );
  root.addEventListener(
    "focusout",
    () => {
      // Somebody went elsewhere; what is switched off has not been left but taken.
      if (last && usable(last)) last = null;
    },
    { signal },
  );
  view.client.subscribe(() => {
    const active = (root.getRootNode() as Document | ShadowRoot).activeElement;
    // A gone kernel switches off everything at once: then there is nowhere to go.
    if (!last || usable(last) || (active !== last && active !== null && active !== document.body)) return;
    const next = all()
      .map((control, index) => ({ control, far: Math.abs(index - at) }))
      .sort((one, other) => one.far - other.far)
      .find(({ control }) => usable(control));
    last = null;
    next?.control.focus({ preventScroll: true });
  }, signal);
}

function usable(control: HTMLElement): boolean {
  return control.isConnected && !control.matches(":disabled") && control.checkVisibility({ visibilityProperty: true });
}
