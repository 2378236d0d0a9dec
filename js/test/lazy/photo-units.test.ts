import { expect, test } from "vitest";
import { WidgetClient } from "../../src/client";
import { unitList } from "../../src/lazy/photo-units";
import { text } from "../../src/lazy/text";
import type { ToKernel } from "../../src/protocol.gen";
import { PhotoStore } from "../../src/stores/photo";
import { FakeModel, frame, settle, usePage } from "../fakes";

const page = usePage();

test("all layers are asked for again of another photo, and when the kernel lists one for another page", async () => {
  const sent: ToKernel[] = [];
  const client = new WidgetClient(new FakeModel().asModel);
  const photo = new PhotoStore(
    (message) => sent.push(message),
    () => list.update(),
  );
  const view = { client, signal: new AbortController().signal };
  const list = unitList(view, photo, () => undefined);
  page.host.append(list.element);
  const tell = async (n: number, state: "looking" | "done", picture: boolean): Promise<number> => {
    sent.length = 0;
    const units = state === "done" ? [{ unit: 1, activation: 1, percentile: 99, label: "", tags: "", map: false }] : [];
    const more = { problem: "", text: "", width: 8, height: 8, shown: [0, 0, 1, 1], classes: [], note: "" };
    const message = { kind: "photo", n, state, ...more, layer: "conv2", units, place: false, changed: false, picture };
    photo.receive(message, picture ? [frame()] : []);
    await settle();
    return sent.filter((each) => each.kind === "photo_overview" && each.on).length;
  };
  expect(await tell(1, "done", true)).toBe(0);
  const every = [...page.host.querySelectorAll("button")].find((one) => one.textContent === text.photoAllLayers)!;
  every.click();
  expect(sent).toEqual([{ kind: "photo_overview", on: true }]);
  expect(await tell(1, "done", false), "a part of it was changed").toBe(0);
  expect(await tell(1, "done", true), "another page said hello").toBe(1);
  expect(await tell(2, "looking", false), "another photo").toBe(1);
  expect(await tell(2, "done", true), "once is enough").toBe(0);
});
