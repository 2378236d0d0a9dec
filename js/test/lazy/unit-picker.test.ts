import { expect, test } from "vitest";
import { WidgetClient } from "../../src/client";
import { unitPicker } from "../../src/lazy/unit-picker";
import type { LoadedModule } from "../../src/stores/lazy";
import { FakeModel, installScreen, settle } from "../fakes";

test("units are chosen by their thumbnails, once the sheet of the layer has some", async () => {
  installScreen();
  const model = new FakeModel();
  const client = new WidgetClient(model.asModel);
  const life = new AbortController();
  const picker = unitPicker({ client, signal: life.signal });
  document.body.replaceChildren(picker);
  const button = picker.querySelector("button")!;
  const list = picker.querySelector<HTMLElement>("[role=listbox]")!;
  const press = (key: string): void => void list.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  expect(picker.hidden).toBe(true);

  const thumbs = new Map([[9, { url: "blob:9" }]]);
  client.lazy.loaded = {
    sheet: { info: { layer: "conv2" }, thumbs, dispose() {} },
    comparison: { dispose() {} },
    photo: { dispose() {} },
    circuit: { dispose() {} },
  } as unknown as LoadedModule;
  await model.receive({ unit: 4 });
  expect([picker.hidden, list.hidden]).toEqual([false, true]);
  button.click();
  expect([list.children.length, document.activeElement]).toEqual([512, list]);
  expect(list.querySelector("img:not([hidden])")?.getAttribute("src")).toBe("blob:9");
  press("ArrowDown");
  press("ArrowLeft");
  expect(list.getAttribute("aria-activedescendant")).toBe(list.children[9]?.id);
  press("Enter");
  await settle();
  expect([model.state.unit, list.hidden, document.activeElement]).toEqual([9, true, button]);

  button.click();
  press("Escape");
  expect([list.hidden, list.children.length]).toEqual([true, 0]);
  // The thumbnails of another layer are no pictures of this one's units.
  await model.receive({ layer: "conv1" });
  expect(picker.hidden).toBe(true);
  life.abort();
  client.dispose();
});
