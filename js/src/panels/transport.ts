import { randomOther } from "../layers";
import { formatFixed } from "../numbers";
import { LARGEST_SEED, type Outbound } from "../protocol";
import { text } from "../text";
import { numberBox, slider } from "../ui/controls";
import { el, iconButton, put, setIcon, setText, textButton } from "../ui/dom";
import { throttled, type View, watch, watchThrottled } from "../ui/view";

/** The kept step to show when a slider goes from one step to another: a key moves by one, and not every step is kept. */
export function checkpointToward(kept: readonly number[], from: number, to: number): number {
  const there = to > from ? kept.find((step) => step >= to) : [...kept].reverse().find((step) => step <= to);
  return there ?? kept[to > from ? kept.length - 1 : 0] ?? to;
}

/** Play, one step, restart and the seed, with how far the schedule has come, and the way back over it. */
export function transportPanel(view: View): HTMLElement {
  const { client, signal } = view;
  const { wire, connection } = client;
  const tell = (message: Outbound): void => {
    client.frames.hurry();
    if (wire.send(message)) connection.expectReply();
  };
  const say = (kind: "play" | "restart" | "step"): void => tell({ kind });

  /** Done or failed: it stands still although `playing` says otherwise. */
  const ended = (): boolean => client.status.state === "done" || client.status.state === "error";
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
      connection.expectReply();
    },
    signal,
  );
  play.classList.add("peek-primary");
  const step = iconButton("step", text.stepOnce, () => say("step"), signal);
  const restart = iconButton("restart", text.restart, () => say("restart"), signal);

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
    put(step, "disabled", wire.get("playing"));
  });
  watch(view, ["seed"], () => seed.show(wire.get("seed"), LARGEST_SEED));

  let at = 0;
  const look = throttled(() => tell({ kind: "seek", step: at }), 60, signal);
  const scrubber = slider(
    text.scrubber,
    (step) => {
      at = checkpointToward(client.status.kept, at, step);
      scrubber.input.value = String(at);
      look();
    },
    signal,
  );
  scrubber.input.classList.add("peek-scrubber");
  const resume = textButton(text.resume, () => tell({ kind: "resume", step: client.status.step }), signal);
  const count = el("span", { class: "peek-count" });
  const rate = el("span", { class: "peek-rate" });
  watchThrottled(view, ["status"], 100, () => {
    const { step: done, total, rate: speed, kept, looking } = client.status;
    const end = kept[kept.length - 1] ?? 0;
    at = done;
    scrubber.show({
      maximum: end && Math.max(total, end),
      value: done,
      spoken: text.stepOf(done, total),
      // Where the run itself stands.
      ...(looking ? { mark: end } : {}),
    });
    // Hidden, it keeps its place: nothing beside it jumps.
    resume.style.visibility = looking ? "" : "hidden";
    put(rate, "hidden", looking);
    setText(count, total > 0 ? text.stepOf(done, total) : "");
    setText(rate, speed > 0 ? text.rate(formatFixed(speed, speed < 100 ? 1 : 0)) : "");
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
      el("span", { class: "peek-readout" }, count, el("span", { class: "peek-rate-slot" }, rate, resume)),
      el("label", { class: "peek-seed" }, el("span", { class: "peek-label" }, text.seed), seed.input),
      dice,
    ),
  );
}
