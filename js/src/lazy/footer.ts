import { el } from "../ui/dom";
import { type View, watch } from "../ui/view";
import { text } from "./text";

/** Model, input preprocessing, device and version. */
export function footerPanel(view: View): HTMLElement {
  const { client } = view;
  const parts = el("footer", { class: "peek-footer" });
  watch(view, ["_about", "evidence_status"], () => {
    const about = client.wire.get("_about") ?? {};
    const entries: [string, string | undefined][] = [
      [text.aboutModel, about.model],
      [text.aboutPreprocess, about.preprocess],
      [text.aboutDevice, about.device],
    ];
    parts.replaceChildren(
      ...entries
        .filter(([, value]) => value)
        .map(([label, value]) => el("span", {}, el("span", { class: "peek-label" }, label), ` ${value}`)),
      el("span", { class: "peek-spring" }),
      ...(client.hasDataset ? [] : [el("span", { class: "peek-hint" }, text.addImages)]),
      el("span", {}, about.version ? `peek_widget ${about.version}` : "peek_widget"),
    );
  });
  return parts;
}
