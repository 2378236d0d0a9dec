import { numberBox } from "./controls";
import { el, iconButton, setIcon, setText } from "./dom";
import { anotherOf } from "./picker";
import { LARGEST_SEED } from "./protocol";
import { formatFixed, text } from "./text";
import { type View, watch, watchCalmly } from "./view";

/** Play, one step, restart and the seed, with how far the schedule has come. */
export function transportPanel(view: View): HTMLElement {
  const { session, signal } = view;
  const { wire, attention } = session;
  const say = (kind: "play" | "restart" | "step"): void => {
    if (wire.send({ kind })) attention.expectReply();
  };

  /** Done or failed: it stands still although `playing` says otherwise. */
  const ended = (): boolean => session.status.state === "done" || session.status.state === "error";
  const play = iconButton(
    "play",
    text.play,
    () => {
      // Past the end `playing` is true already, and a trait that does not change says nothing.
      if (wire.get("playing") && ended()) {
        say("play");
        return;
      }
      wire.edit({ playing: !wire.get("playing") });
      attention.expectReply();
    },
    signal,
  );
  play.classList.add("peek-primary");
  const step = iconButton("step", text.stepOnce, () => say("step"), signal);
  const restart = iconButton("restart", text.restart, () => say("restart"), signal);

  const setSeed = (seed: number): void => {
    wire.edit({ seed });
    attention.expectReply();
  };
  const seed = numberBox(text.seed, setSeed, signal);
  const dice = iconButton("dice", text.newSeed, () => setSeed(anotherOf(1000, wire.get("seed"))), signal);

  watch(view, ["playing", "status"], () => {
    const running = wire.get("playing") && !ended();
    const label = running ? text.pause : text.play;
    if (play.title !== label) {
      setIcon(play, running ? "pause" : "play");
      play.title = label;
      play.setAttribute("aria-label", label);
    }
    step.disabled = wire.get("playing");
  });
  watch(view, ["seed"], () => seed.show(wire.get("seed"), LARGEST_SEED));

  const bar = el("div", { class: "peek-progress-bar" });
  const progress = el(
    "div",
    { class: "peek-progress", role: "progressbar", "aria-label": text.progress, "aria-valuemin": 0 },
    bar,
  );
  const count = el("span", { class: "peek-count" });
  const rate = el("span", { class: "peek-rate" });
  watchCalmly(view, ["status"], 100, () => {
    const { step: done, total, rate: speed } = session.status;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    bar.style.transform = `scaleX(${share})`;
    progress.setAttribute("aria-valuemax", String(total));
    progress.setAttribute("aria-valuenow", String(Math.min(done, total)));
    setText(count, total > 0 ? text.stepOf(done, total) : "");
    setText(rate, speed > 0 ? text.rate(formatFixed(speed, speed < 100 ? 1 : 0)) : "");
  });

  return el(
    "div",
    { class: "peek-transport" },
    progress,
    el(
      "div",
      { class: "peek-inline" },
      play,
      step,
      restart,
      el("span", { class: "peek-readout" }, count, rate),
      el("label", { class: "peek-seed" }, el("span", { class: "peek-label" }, text.seed), seed.input),
      dice,
    ),
  );
}
