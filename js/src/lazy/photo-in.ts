import type { PhotoStore } from "../stores/photo";
import { el, setText, textButton } from "../ui/dom";
import type { View } from "../ui/view";
import { cameraProblem } from "./camera";
import { text } from "./text";

export interface WaysIn {
  buttons: HTMLElement[];
  /** Where a photo is dropped while there is none. */
  drop: HTMLElement;
  /** Why there is no camera, or "". */
  problem(): string;
}

/** The ways in of a photo: drop and paste anywhere on `root`, choose a file, the camera, an image of the dataset. */
export function waysIn({ client, signal }: View, photo: PhotoStore, root: HTMLElement, changed: () => void): WaysIn {
  let problem = "";
  const give = (given: Blob | undefined | null): void => {
    if (!given) return;
    problem = "";
    void photo.give(given);
  };
  const file = el("input", {
    type: "file",
    accept: "image/*",
    class: "peek-visually-hidden",
    tabindex: -1,
    "aria-label": text.photoChoose,
  });
  file.addEventListener(
    "change",
    () => {
      give(file.files?.[0]);
      // The same file may be chosen again.
      file.value = "";
    },
    { signal },
  );
  const choose = textButton(text.photoChoose, () => file.click(), signal);
  const camera = textButton(text.photoCamera, () => void snapshot(), signal);
  const sample = textButton(
    text.photoSample,
    () => {
      problem = "";
      photo.sample();
    },
    signal,
    text.photoSampleHelp,
  );
  sample.hidden = !client.hasDataset;
  const drop = el(
    "div",
    { class: "peek-photo-drop", tabindex: 0 },
    el("b", {}, text.photoDrop),
    el("span", {}, text.photoQuestion),
  );

  const over = (event: DragEvent, on: boolean): void => {
    event.preventDefault();
    root.classList.toggle("peek-photo-over", on);
  };
  root.addEventListener("dragover", (event) => over(event, true), { signal });
  root.addEventListener("dragleave", (event) => over(event, false), { signal });
  root.addEventListener(
    "drop",
    (event) => {
      over(event, false);
      give([...(event.dataTransfer?.files ?? [])].find((one) => one.type.startsWith("image/") || !one.type));
    },
    { signal },
  );
  root.addEventListener(
    "paste",
    (event) => {
      const item = [...(event.clipboardData?.items ?? [])].find((one) => one.type.startsWith("image/"));
      if (!item) return;
      event.preventDefault();
      give(item.getAsFile());
    },
    { signal },
  );

  const snapshot = async (): Promise<void> => {
    let stream: MediaStream | undefined;
    camera.disabled = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1024 } } });
      const video = el("video", { muted: true });
      video.srcObject = stream;
      await video.play();
      const canvas = el("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d")?.drawImage(video, 0, 0);
      give(await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95)));
    } catch (error) {
      problem = cameraProblem(error, window.isSecureContext);
      changed();
    } finally {
      camera.disabled = false;
      for (const track of stream?.getTracks() ?? []) track.stop();
    }
  };
  return { buttons: [choose, camera, sample, file], drop, problem: () => problem };
}

/** A line for what went wrong, hidden while nothing has. */
export function problemLine(): { line: HTMLElement; show(problem: string): void } {
  const line = el("p", { class: "peek-error", role: "alert", hidden: true });
  return {
    line,
    show(problem) {
      line.hidden = !problem;
      setText(line, problem);
    },
  };
}
