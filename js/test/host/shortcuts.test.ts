import { expect, test } from "vitest";
import { isolateKeys } from "../../src/host/shortcuts";

/** A notebook that listens on the way down, as Notebook 7 does, and one that listens on the way up, as JupyterLab. */
function press(init: KeyboardEventInit): { down: boolean; up: boolean } {
  const end = new AbortController();
  const root = document.body.appendChild(document.createElement("div"));
  const slider = root.appendChild(document.createElement("input"));
  isolateKeys(root, end.signal);
  const heard = { down: false, up: false };
  const down = (event: Event): void => {
    heard.down = !(event.target as Element).hasAttribute("data-lm-suppress-shortcuts");
  };
  const up = (): void => {
    heard.up = true;
  };
  document.addEventListener("keydown", down, true);
  document.addEventListener("keydown", up);
  slider.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, ...init }));
  document.removeEventListener("keydown", down, true);
  document.removeEventListener("keydown", up);
  end.abort();
  root.remove();
  return heard;
}

test.each(["ArrowRight", "ArrowUp", "a", "Enter", "Home"])("%s is the widget's", (key) => {
  expect(press({ key })).toEqual({ down: false, up: false });
});

test("keys with a modifier belong to the notebook", () => {
  expect(press({ key: "s", ctrlKey: true })).toEqual({ down: true, up: true });
  expect(press({ key: "Enter", shiftKey: true })).toEqual({ down: true, up: true });
});
