import { describeUnit } from "../layers";
import { text } from "../text";
import { el, setProperty, setText } from "../ui/dom";
import { type View, watch, watchThrottled } from "../ui/view";
import { messagesPanel } from "./status";

/** The picture, in a square that has its size before the first frame arrives. */
export function picturePanel(view: View): HTMLElement {
  const { client, signal } = view;
  const canvas = el("canvas", { class: "peek-canvas", role: "img" });
  const note = el("p", { class: "peek-stage-note" });
  const stage = el("div", { class: "peek-stage" }, canvas, note, messagesPanel(view));

  const detach = client.frames.attach((picture) => {
    const [width, height] =
      "displayWidth" in picture ? [picture.displayWidth, picture.displayHeight] : [picture.width, picture.height];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    canvas.getContext("2d")?.drawImage(picture, 0, 0);
  });
  signal.addEventListener("abort", detach, { once: true });

  watch(view, ["drawn", "undecodable"], () => {
    const empty = client.frames.n < 0;
    setProperty(canvas, "hidden", empty);
    setProperty(note, "hidden", !empty && !client.undecodable);
    setText(note, client.undecodable ? text.undecodable : text.waiting);
  });
  watchThrottled(view, ["status"], 1000, () => {
    canvas.setAttribute("aria-label", text.picture(describeUnit(client), client.status.step));
  });
  watch(view, ["health"], () => stage.classList.toggle("peek-stale", client.connection.health === "gone"));
  return stage;
}
