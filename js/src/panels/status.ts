import { describeUnit } from "../layers";
import { text } from "../text";
import { el, setProperty, setText, textButton } from "../ui/dom";
import { throttled, type View, watch, watchThrottled } from "../ui/view";

/** The shortest time between announcements: a screen reader would otherwise never finish one. */
const ANNOUNCE_MS = 4000;

/** The status line, and a box for errors. */
export function statusPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const line = el("p", { class: "peek-status" });
  const spoken = el("p", { class: "peek-visually-hidden", "aria-live": "polite" });
  const alert = el("p", { class: "peek-error", role: "alert" });
  alert.hidden = true;

  const message = (): string => {
    const { health } = client.connection;
    if (health === "gone") return text.gone;
    if (health === "silent") return text.silent;
    return client.status.text;
  };
  watchThrottled(view, ["status", "health"], 100, () => setText(line, message()));

  watch(view, ["status"], () => {
    const { error } = client.status;
    // Setting the same text again would make a screen reader repeat it.
    if (error) setText(alert, error);
    setProperty(alert, "hidden", !error);
  });

  // Announced when the state, run or unit changes, and not at every step.
  let last = "";
  const announce = throttled(() => setText(spoken, message()), ANNOUNCE_MS, signal);
  watch(view, ["status", "health"], () => {
    const news = `${client.connection.health} ${client.status.state} ${client.status.run} ${describeUnit(client)}`;
    if (news === last) return;
    last = news;
    announce();
  });

  watch(view, ["health"], () => line.classList.toggle("peek-warning", client.connection.health !== "ok"));
  const startFromNoise = textButton(text.startFromNoise, () => client.crops.startFrom(0), signal);
  watch(view, ["status"], () => {
    setProperty(startFromNoise, "hidden", !client.status.start);
  });
  return el("div", { class: "peek-messages" }, line, startFromNoise, alert, spoken);
}
