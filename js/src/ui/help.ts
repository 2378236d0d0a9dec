import { text } from "../text";
import { el } from "./dom";
import type { View } from "./view";

/** A "?" button and the note that it opens. The caller puts both into the page. */
export interface Help {
  button: HTMLButtonElement;
  note: HTMLElement;
}

/** Makes the help on `subject`, the label that it stands beside. `words` is the text of the note. */
export function helpFor(subject: string, words: string, signal: AbortSignal): Help {
  const button = el(
    "button",
    { type: "button", class: "peek-help-button", "aria-label": text.helpOn(subject), "aria-expanded": "false" },
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

/** Adds a help button to each label of `root` that the kernel has an explanation of. */
export function explainLabels({ client, signal }: View, root: HTMLElement): void {
  const labels: Record<string, string> = {
    layer: text.layer,
    unit: text.unit,
    objective: text.objective,
    recipe: text.recipe,
    activation: text.activation,
    images: text.examples,
  };
  for (const [key, words] of Object.entries(client.wire.get("_about")?.help ?? {})) {
    const label = [...root.querySelectorAll(".peek-label")].find((one) => one.textContent === labels[key]);
    const group = label?.closest(".peek-row, .peek-group, .peek-examples");
    if (!label || !group) continue;
    const help = helpFor(labels[key] ?? "", words, signal);
    const head = el("div", { class: "peek-inline" });
    label.replaceWith(head);
    head.append(label, help.button);
    group.append(help.note);
  }
}
