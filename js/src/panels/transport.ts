import { randomOther } from "../layers";
import { formatFixed } from "../numbers";
import { LARGEST_SEED, type ToKernel } from "../protocol.gen";
import { text } from "../text";
import { numberBox, slider } from "../ui/controls";
import { el, iconButton, setIcon, setProperty, setText } from "../ui/dom";
import { throttled, type View, watch, watchThrottled } from "../ui/view";

/** The checkpoint to show when a slider moves between steps: a key moves by one step, and not every step has one. */
export function checkpointToward(checkpoints: readonly number[], from: number, to: number): number {
  const there =
    to > from ? checkpoints.find((step) => step >= to) : [...checkpoints].reverse().find((step) => step <= to);
  return there ?? checkpoints[to > from ? checkpoints.length - 1 : 0] ?? to;
}

/** Play, single step, restart and seed, with the progress of the run and the slider that goes back over it. */
export function transportPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const { wire, connection } = client;
  const send = (message: ToKernel): void => {
    client.frames.hurry();
    if (wire.send(message)) connection.expectReply();
  };
  const command = (kind: "play" | "restart" | "step"): void => send({ kind });

  /** Whether the run is done or has failed, and so stands still although `playing` is true. */
  const ended = (): boolean => client.status.state === "done" || client.status.state === "error";
  const play = iconButton(
    "play",
    text.play,
    () => {
      // After the end `playing` is still true, and setting a trait to the same value sends nothing.
      if (wire.get("playing") && ended()) {
        command("play");
        return;
      }
      wire.edit({ playing: !wire.get("playing") });
      connection.expectReply();
    },
    signal,
  );
  play.classList.add("peek-primary");
  const step = iconButton("step", text.stepOnce, () => command("step"), signal);
  const restart = iconButton("restart", text.restart, () => command("restart"), signal);

  const setSeed = (seed: number): void => {
    wire.edit({ seed });
    connection.expectReply();
  };
  const seed = numberBox(text.seed, setSeed, signal);
  const dice = iconButton("dice", text.newSeed, () => setSeed(randomOther(1000, wire.get("seed"))), signal);

  watch(view, ["playing", "status"], () => {
    const running = wire.get("playing") && !ended();
    const label = running ? text.pause : text.play;
    if (play.title !== label) {
      setIcon(play, running ? "pause" : "play");
      play.title = label;
      play.setAttribute("aria-label", label);
    }
    setProperty(step, "disabled", wire.get("playing"));
  });
  watch(view, ["seed"], () => seed.show(wire.get("seed"), LARGEST_SEED));

  let at = 0;
  const seek = throttled(() => send({ kind: "seek", step: at }), 60, signal);
  const scrubber = slider(
    text.scrubber,
    (step) => {
      at = checkpointToward(client.status.checkpoints, at, step);
      scrubber.input.value = String(at);
      seek();
    },
    signal,
  );
  scrubber.input.classList.add("peek-scrubber");
  const count = el("span", { class: "peek-count" });
  const rate = el("span", { class: "peek-rate" });
  watchThrottled(view, ["status"], 100, () => {
    const { step: done, total, rate: speed, checkpoints, viewing } = client.status;
    const end = checkpoints[checkpoints.length - 1] ?? 0;
    at = done;
    scrubber.show({
      maximum: end && Math.max(total, end),
      value: done,
      spoken: text.stepOf(done, total),
      // The step that the run has reached.
      ...(viewing ? { mark: end } : {}),
    });
    setText(count, total > 0 ? text.stepOf(done, total) : "");
    setText(rate, speed > 0 && !viewing ? text.rate(formatFixed(speed, speed < 100 ? 1 : 0)) : "");
  });

  return el(
    "div",
    { class: "peek-transport" },
    scrubber.input,
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
