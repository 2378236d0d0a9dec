import { describeUnit } from "../layers";
import { text } from "../text";
import { el, put, setText, textButton } from "../ui/dom";
import { throttled, type View, watch, watchThrottled } from "../ui/view";

/** A screen reader that is told each step says nothing else any more. */
const ANNOUNCE_MS = 4000;

/** One line in words, and a box for what went wrong. */
export function statusPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const line = el("p", { class: "peek-status" });
  const spoken = el("p", { class: "peek-visually-hidden", "aria-live": "polite" });
  const alert = el("p", { class: "peek-error", role: "alert" });
  alert.hidden = true;

  const words = (): string => {
    const { health } = client.connection;
    if (health === "gone") return text.gone;
    if (health === "silent") return text.silent;
    return client.status.text;
  };
  watchThrottled(view, ["status", "health"], 100, () => setText(line, words()));

  watch(view, ["status"], () => {
    const { error } = client.status;
    // Setting the same text again would make a screen reader say it again.
    if (error) setText(alert, error);
    put(alert, "hidden", !error);
  });

  // What is said aloud changes with the kind of news only, not with every step that is counted.
  let last = "";
  const announce = throttled(() => setText(spoken, words()), ANNOUNCE_MS, signal);
  watch(view, ["status", "health"], () => {
    const news = `${client.connection.health} ${client.status.state} ${client.status.run} ${describeUnit(client)}`;
    if (news === last) return;
    last = news;
    announce();
  });

  watch(view, ["health"], () => line.classList.toggle("peek-warning", client.connection.health !== "ok"));
  const ownStart = textButton(text.startFromNoise, () => client.crops.startFrom(0), signal);
  watch(view, ["status"], () => {
    put(ownStart, "hidden", !client.status.start);
  });
  return el("div", { class: "peek-messages" }, line, ownStart, alert, spoken);
}

/** The small print: which model, what its input is taken to be, where it runs. */
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
