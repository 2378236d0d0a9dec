import { describeUnit } from "../layers";
import { text } from "../text";
import { el, setProperty, setText, textButton } from "../ui/dom";
import { throttled, type View, watch, watchThrottled } from "../ui/view";

/** The shortest time between announcements: a screen reader would otherwise never finish one. */
const ANNOUNCE_MS = 4000;

/** The status in one line, with a color for the state. */
export function statusPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const line = el("p", { class: "peek-status" });
  const pill = el("div", { class: "peek-pill" }, line);
  const spoken = el("p", { class: "peek-visually-hidden", "aria-live": "polite" });

  const message = (): string => {
    const { health } = client.connection;
    if (health === "gone") return text.gone;
    if (health === "silent") return text.silent;
    return client.status.text;
  };
  watchThrottled(view, ["status", "health"], 100, () => {
    setText(line, message());
    setProperty(pill, "title", message());
    const { health } = client.connection;
    const state = health === "ok" ? client.status.state : health;
    if (pill.dataset.state !== state) pill.dataset.state = state;
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

  pill.append(spoken);
  return pill;
}

/** What must not be overlooked, on the picture: errors, a kernel that is gone, an earlier step, a run begun from an image. */
export function messagesPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const { wire, connection, frames } = client;
  const alert = el("p", { class: "peek-error", role: "alert", tabindex: 0, hidden: true });
  const warning = el("p", { class: "peek-warning", hidden: true });
  const resume = textButton(
    text.resume,
    () => {
      frames.hurry();
      if (wire.send({ kind: "resume", step: client.status.step })) connection.expectReply();
    },
    signal,
  );
  const startFromNoise = textButton(text.startFromNoise, () => client.crops.startFrom(0), signal);
  watch(view, ["status"], () => {
    const { error, viewing, start } = client.status;
    // Setting the same text again would make a screen reader repeat it.
    if (error) setText(alert, error);
    setProperty(alert, "hidden", !error);
    setProperty(resume, "hidden", !viewing);
    setProperty(startFromNoise, "hidden", !start);
  });
  const redraw = textButton(text.redraw, () => wire.send({ kind: "restart" }) && connection.expectReply(), signal);
  const always = textButton("", () => wire.edit({ redraw: !wire.get("redraw") }), signal);
  const kept = el("p", { class: "peek-warning", hidden: true });
  watch(view, ["health", "status", "redraw"], () => {
    const { health } = connection;
    setText(warning, health === "gone" ? text.gone : health === "silent" ? text.silent : client.status.text);
    setProperty(warning, "hidden", health === "ok" && !client.status.comparing);
    const changed = client.status.weights_changed && client.status.state !== "running";
    setProperty(redraw, "hidden", !changed || wire.get("redraw"));
    setProperty(always, "hidden", !changed && !wire.get("redraw"));
    setText(always, wire.get("redraw") ? text.redrawStop : text.redrawAlways);
  });
  watch(view, ["health", "tags"], () => {
    const tags = wire.get("tags") ?? {};
    const units = Object.values(tags).reduce((sum, layer) => sum + Object.keys(layer).length, 0);
    setProperty(kept, "hidden", connection.health !== "gone" || units === 0);
    if (kept.hidden) return;
    // A link, because the controls of a page whose kernel is gone are disabled.
    const href = `data:application/json,${encodeURIComponent(JSON.stringify(tags, null, 1))}`;
    kept.replaceChildren(text.tagsKept(units), " ", el("a", { href, download: "tags.json" }, text.saveTags));
  });
  return el("div", { class: "peek-messages" }, warning, kept, alert, resume, startFromNoise, redraw, always);
}
