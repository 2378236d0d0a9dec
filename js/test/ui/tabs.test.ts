import { beforeEach, expect, test } from "vitest";
import type { WidgetClient } from "../../src/client";
import type { Topic } from "../../src/topics";
import { el } from "../../src/ui/dom";
import { type Tab, tabPanel } from "../../src/ui/tabs";

let tell: (topic: Topic) => void;
let seen: string[];
let has: boolean;
let asked: boolean;
let life: AbortController;

/** Three tabs: images where there are any, a sheet that costs work, and details. */
function open(): HTMLElement {
  const tab = (id: string, more: Partial<Tab> = {}): Tab => ({
    id,
    title: id,
    content: el("p", {}, id),
    toggled: (on) => seen.push(`${on ? "+" : "-"}${id}`),
    ...more,
  });
  const client = {
    subscribe: (listener: (changed: ReadonlySet<Topic>) => void) => (tell = (topic) => listener(new Set([topic]))),
  } as unknown as WidgetClient;
  const tabs = [
    tab("images", { topics: ["evidence_status"], available: () => has, initial: true }),
    tab("sheet", { topics: ["sheet"], wanted: () => asked }),
    tab("details", { initial: true }),
  ];
  document.body.replaceChildren(tabPanel({ client, signal: life.signal }, "Tabs", tabs));
  return document.body;
}

const tabs = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>("[role=tab]:not([hidden])")];
const shown = (): string => document.querySelector("[role=tabpanel]:not([hidden])")?.textContent ?? "";
const press = (key: string): void =>
  void document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));

beforeEach(() => {
  seen = [];
  has = asked = false;
  life = new AbortController();
});

test("a tab that the session can't have is absent, and comes when it can", () => {
  open();
  expect([shown(), tabs().map((one) => one.textContent)]).toEqual(["details", ["sheet", "details"]]);
  has = true;
  tell("evidence_status");
  expect([shown(), tabs()[0]?.textContent]).toEqual(["images", "images"]);
});

test("what was chosen stays, unless Python asks for another", () => {
  open();
  tabs()[1]?.click();
  has = true;
  tell("evidence_status");
  expect(shown()).toBe("details");
  asked = true;
  tell("sheet");
  expect(shown()).toBe("sheet");
  tabs()[2]?.click();
  tell("sheet");
  expect(shown()).toBe("details");
  expect(seen.slice(-3)).toEqual(["+sheet", "-sheet", "+details"]);
  life.abort();
  expect(seen.at(-1)).toBe("-details");
});

test("arrows move between the tabs and open none; of all tabs one is reached by the tab key", () => {
  open();
  tabs()[1]?.focus();
  press("ArrowRight");
  expect(document.activeElement).toBe(tabs()[0]);
  expect([shown(), tabs().map((one) => one.tabIndex)]).toEqual(["details", [0, -1]]);
  press("End");
  expect(document.activeElement).toBe(tabs()[1]);
  press("ArrowLeft");
  (document.activeElement as HTMLElement).blur();
  expect(tabs().map((one) => one.tabIndex)).toEqual([-1, 0]);
  const [first] = tabs();
  first?.click();
  expect([shown(), first?.getAttribute("aria-selected")]).toEqual(["sheet", "true"]);
  const panel = document.querySelector("[role=tabpanel]:not([hidden])");
  expect([first?.getAttribute("aria-controls"), first?.id]).toEqual([
    panel?.id,
    panel?.getAttribute("aria-labelledby"),
  ]);
});
