import { el } from "./dom";
import { text } from "./text";

/** A "?" beside a label, and the words that it opens; both are to be put somewhere by who asks. */
export interface Help {
  button: HTMLButtonElement;
  note: HTMLElement;
}

/** `subject`: the label it stands beside; `words`: what the thing is, and what it does to the picture. */
export function helpFor(subject: string, words: string, signal: AbortSignal): Help {
  const button = el(
    "button",
    { type: "button", class: "peek-ask", "aria-label": text.helpOn(subject), "aria-expanded": "false" },
    "?",
  );
  const note = el("p", { class: "peek-help", hidden: true }, words);
  button.addEventListener(
    "click",
    () => {
      note.hidden = !note.hidden;
      button.setAttribute("aria-expanded", String(!note.hidden));
    },
    { signal },
  );
  return { button, note };
}
