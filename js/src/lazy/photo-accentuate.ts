import { formatNumber } from "../numbers";
import { ACCENTUATE_STRENGTH } from "../protocol.gen";
import type { PhotoStore, Stage } from "../stores/photo";
import { slider } from "../ui/controls";
import { el, setText, textButton } from "../ui/dom";
import type { View } from "../ui/view";
import { problemLine } from "./photo-in";
import { text } from "./text";

export interface AccentuatePanel {
  tools: HTMLElement;
  result: HTMLElement;
  /** What is shown in place of the photo; null for the photo itself. */
  stage(): Stage | null;
  update(): void;
  /** Shows the photo in place of what was made of it, or the other way round. */
  toggle(): void;
}

/** More or less of the explorer's unit in the photo: how far by a slider, and the photo as it was at one key. */
export function accentuatePanel({ client, signal }: View, photo: PhotoStore, changed: () => void): AccentuatePanel {
  /** The stage chosen by the slider; null follows the newest. */
  let chosen: number | null = null;
  let original = false;
  let less = false;

  const begin = (downwards: boolean): void => {
    [chosen, original, less] = [null, false, downwards];
    photo.accentuate(client.wire.get("unit"), less, Number(strength.value), true);
  };
  const more = textButton(text.photoMore, () => begin(false), signal, text.photoMoreHelp);
  const fewer = textButton(text.photoLess, () => begin(true), signal, text.photoLessHelp);
  const subject = el("span", { class: "peek-label" });
  const strength = el("input", {
    type: "range",
    class: "peek-slider",
    min: 0,
    max: 15,
    step: 0.5,
    value: ACCENTUATE_STRENGTH,
    title: text.photoStrengthHelp,
    "aria-label": text.photoStrength,
  });
  const strengthNow = el("span", { class: "peek-of" }, String(ACCENTUATE_STRENGTH));
  strength.addEventListener("input", () => setText(strengthNow, strength.value), { signal });
  strength.addEventListener("change", () => photo.accentuated && begin(less), { signal });

  const scrubber = slider(
    text.photoHowFar,
    (at) => {
      chosen = at === photo.stages.length - 1 ? null : at;
      original = false;
      changed();
    },
    signal,
  );
  const words = el("p", { class: "peek-photo-accent-words" });
  const toggle = (): void => {
    if (!photo.stages.length) return;
    original = !original;
    changed();
  };
  const compare = textButton(text.photoOriginal, toggle, signal, text.photoOriginalHelp);
  const save = textButton(text.photoSave, () => void saveStage(), signal);
  const end = textButton(
    text.photoEnd,
    () => {
      [chosen, original] = [null, false];
      photo.accentuate(client.wire.get("unit"), less, 0, false);
    },
    signal,
  );
  const { line: problem, show: showProblem } = problemLine();
  const result = el(
    "div",
    { class: "peek-photo-accent" },
    el(
      "div",
      { class: "peek-inline" },
      el("span", { class: "peek-label" }, text.photoHowFar),
      scrubber.input,
      compare,
      save,
      end,
    ),
    words,
  );
  const tools = el(
    "div",
    { class: "peek-photo-tools" },
    subject,
    el(
      "div",
      { class: "peek-choices" },
      el("div", { class: "peek-pair" }, more, fewer),
      el(
        "label",
        { class: "peek-inline" },
        el("span", { class: "peek-label" }, text.photoStrength),
        strength,
        strengthNow,
      ),
    ),
    problem,
  );

  const current = (): Stage | undefined => photo.stages[chosen ?? photo.stages.length - 1];
  const saveStage = async (): Promise<void> => {
    const stage = current();
    if (!stage || !photo.accentuated) return;
    const canvas = el("canvas");
    canvas.width = stage.picture.width;
    canvas.height = stage.picture.height;
    canvas.getContext("2d")?.drawImage(stage.picture, 0, 0);
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob || signal.aborted) return;
    const url = URL.createObjectURL(blob);
    const { layer, unit } = photo.accentuated;
    el("a", { href: url, download: `${less ? "less" : "more"}-${layer || "output"}-${unit}.png` }).click();
    URL.revokeObjectURL(url);
  };
  const update = (): void => {
    const { accentuated: now, stages } = photo;
    setText(subject, text.photoAccentuate(client.wire.get("unit")));
    showProblem(now?.problem ?? "");
    result.hidden = !now || stages.length === 0;
    compare.setAttribute("aria-pressed", String(original));
    const [first, shown] = [stages[0], current()];
    if (!now || !first || !shown) {
      chosen = null;
      return;
    }
    if (chosen !== null && chosen >= stages.length) chosen = null;
    scrubber.show({
      maximum: stages.length - 1,
      value: chosen ?? stages.length - 1,
      spoken: text.photoStepSpoken(shown.step, now.total),
    });
    setText(
      words,
      text.photoChanged(
        now.unit,
        now.less,
        shown.step,
        now.total,
        [formatNumber(first.mean), formatNumber(shown.mean)],
        [formatNumber(first.activation), formatNumber(shown.activation)],
        [first.percentile.toFixed(1), shown.percentile.toFixed(1)],
      ),
    );
  };
  return { tools, result, stage: () => (original ? photo.stages[0] : current()) ?? null, update, toggle };
}
