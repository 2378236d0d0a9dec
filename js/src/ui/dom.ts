type Props = Record<string, string | number | boolean | undefined>;
type Child = Node | string;

/**
 * Makes an element. Strings become text nodes and attributes are set as attributes, so that no name
 * in a model can turn into markup.
 */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, props);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Makes an SVG element, as `el`. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, props);
  element.append(...children);
  return element;
}

function setAttributes(element: Element, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name === "class" ? "class" : name, value === true ? "" : String(value));
  }
}

/** Sets a property only when it differs: setting an equal `hidden` or `value` still costs style and layout. */
export function setProperty<E extends Element, K extends keyof E>(element: E, name: K, value: E[K]): void {
  if (element[name] !== value) element[name] = value;
}

/** Sets the text only when it differs: an equal one would still repaint and clear a selection. */
export function setText(element: Element, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

const ICONS = {
  play: "M5 3.2v9.6l8-4.8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  step: "M3 3.2v9.6l7-4.8zM11 3h2.2v10H11z",
  restart: "M8 3a5 5 0 1 0 4.9 6h-1.6A3.5 3.5 0 1 1 8 4.5c.9 0 1.8.4 2.4 1L8.6 7.3H13V2.9l-1.5 1.5A5 5 0 0 0 8 3z",
  undo: "M6.6 2.6 2.8 6.2l3.8 3.6V7.2h2.6a2.4 2.4 0 1 1 0 4.8H5.5v1.6h3.7a4 4 0 1 0 0-8H6.6z",
  down: "M3 5.7 8 10.7l5-5-1.1-1.1L8 8.5 4.1 4.6z",
  left: "M10.3 3 5.3 8l5 5 1.1-1.1L7.5 8l3.9-3.9z",
  right: "M5.7 3 10.7 8l-5 5-1.1-1.1L8.5 8 4.6 4.1z",
  save: "M7.2 2h1.6v6l2.1-2.1L12 7l-4 4-4-4 1.1-1.1L7.2 8zM3 12.4h10V14H3z",
  copy: "M5 2h9v9h-2.5v-1.6h.9V3.6H6.6v.9H5zM2 5h9v9H2zM3.6 6.6v5.8h5.8V6.6z",
  code: "M5.6 4.1 6.8 5.2 4.1 8l2.7 2.8-1.2 1.1L1.8 8zM10.4 4.1 9.2 5.2 11.9 8l-2.7 2.8 1.2 1.1L14.2 8z",
  widen: "M6.3 4 7.4 5.1 5.3 7.2h5.4L8.6 5.1 9.7 4l4 4-4 4-1.1-1.1 2.1-2.1H5.3l2.1 2.1L6.3 12l-4-4z",
  lecture: "M2 2.5h12v8.2H8.8v1.5h2.4v1.5H4.8v-1.5h2.4v-1.5H2zM3.5 4v5.2h9V4z",
  grid: "M2 2h3.4v3.4H2zM6.3 2h3.4v3.4H6.3zM10.6 2H14v3.4h-3.4zM2 6.3h3.4v3.4H2zM6.3 6.3h3.4v3.4H6.3zM10.6 6.3H14v3.4h-3.4zM2 10.6h3.4V14H2zM6.3 10.6h3.4V14H6.3zM10.6 10.6H14V14h-3.4z",
  dice: "M2 2h12v12H2zM3.4 3.4v9.2h9.2V3.4zM5 5h2v2H5zM9 5h2v2H9zM7 7h2v2H7zM5 9h2v2H5zM9 9h2v2H9z",
} as const;

export type IconName = keyof typeof ICONS;

/** Makes an icon. */
export function icon(name: IconName): SVGSVGElement {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", class: "peek-icon", "aria-hidden": "true" },
    svg("path", { d: ICONS[name], "fill-rule": "evenodd" }),
  );
}

/** Replaces the icon of a button. */
export function setIcon(button: Element, name: IconName): void {
  button.firstElementChild?.firstElementChild?.setAttribute("d", ICONS[name]);
}

/** Makes a button with an icon; `label` is its tooltip and accessible name. */
export function iconButton(name: IconName, label: string, onClick: () => void, signal: AbortSignal): HTMLButtonElement {
  const button = el("button", { type: "button", class: "peek-button", title: label, "aria-label": label }, icon(name));
  button.addEventListener("click", onClick, { signal });
  return button;
}

/** Makes a button with a visible label; `help` is its tooltip. */
export function textButton(label: string, onClick: () => void, signal: AbortSignal, help?: string): HTMLButtonElement {
  const button = el("button", { type: "button", class: "peek-button peek-words", title: help }, label);
  button.addEventListener("click", onClick, { signal });
  return button;
}
