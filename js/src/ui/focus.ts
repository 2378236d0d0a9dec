import type { View } from "./view";

const CONTROLS = "button, input, select, summary, a[href], [tabindex='0']";

/**
 * Moves the focus to the nearest control when the focused one is disabled or removed, as "next" is at the last unit. It
 * would otherwise fall to the page, and a keyboard user would have to start again from the top.
 */
export function keepFocus(view: View, root: HTMLElement): void {
  const { signal } = view;
  let last: HTMLElement | null = null;
  let index = -1;
  const all = (): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(CONTROLS)];
  root.addEventListener(
    "focusin",
    (event) => {
      last = event.target as HTMLElement;
      index = all().indexOf(last);
    },
    { signal },
  );
  root.addEventListener(
    "focusout",
    () => {
      // A usable control was left on purpose; a disabled one has lost the focus.
      if (last && usable(last)) last = null;
    },
    { signal },
  );
  view.client.subscribe(() => {
    const active = (root.getRootNode() as Document | ShadowRoot).activeElement;
    // Without a kernel all controls are disabled, and none is found.
    if (!last || usable(last) || (active !== last && active !== null && active !== document.body)) return;
    const next = all()
      .map((control, at) => ({ control, distance: Math.abs(at - index) }))
      .sort((one, other) => one.distance - other.distance)
      .find(({ control }) => usable(control));
    last = null;
    next?.control.focus({ preventScroll: true });
  }, signal);
}

/** Whether a control can take the focus. */
function usable(control: HTMLElement): boolean {
  return control.isConnected && !control.matches(":disabled") && control.checkVisibility({ visibilityProperty: true });
}
