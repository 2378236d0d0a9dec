// A fake notebook host, small enough to count everything it hands out. jsdom has neither pictures nor an
// IntersectionObserver, so both are faked here; tests/browser runs in a real browser.
import type { AnyModel } from "@anywidget/types";
import { afterEach, beforeEach, vi } from "vitest";
import * as lazy from "../src/lazy/index";
import { CONTROL_DEFAULTS, type LayerInfo, type Status, type ToKernel, type Traits } from "../src/protocol.gen";
import { LazyModule } from "../src/stores/lazy";

export const LAYERS: LayerInfo[] = [
  layer("conv1", 64, 112),
  layer("conv2", 512, 14),
  { ...layer("fc", 10, 1), named: true },
];

export function layer(name: string, channels: number, side: number): LayerInfo {
  return {
    name,
    kind: "Conv2d",
    channels,
    size: [side, side],
    receptive_field: [7, 7],
    stride: [2, 2],
    rectified: false,
    objectives: ["neuron", "channel"],
    named: false,
  };
}

export function status(changes: Partial<Status> = {}): Partial<Status> {
  return {
    n: 1,
    run: 1,
    state: "running",
    text: "Drawing.",
    error: null,
    rate: 10,
    step: 5,
    total: 150,
    unit: 3,
    layer: "conv2",
    size: 224,
    values: { blur: 2, jitter: 0.1, decay: 0, total_variation: 0.01, step_size: 1 },
    recipe_values: { blur: 2, jitter: 0.1, decay: 0, total_variation: 0.01, step_size: 1 },
    ...changes,
  };
}

export function traits(changes: Partial<Traits> = {}): Traits {
  return {
    ...CONTROL_DEFAULTS,
    layer: "conv2",
    unit: 3,
    _layer_list: LAYERS,
    _recipe_list: [{ name: "peek", summary: "Ours.", source: "here" }],
    _knobs: [
      { name: "blur", label: "blur", minimum: 0, maximum: 5, scale: "linear", unit: "px", help: "Smooths." },
      { name: "step_size", label: "step size", minimum: 0.001, maximum: 10, scale: "log", unit: "", help: "Moves." },
    ],
    class_names: Array.from({ length: 10 }, (_, i) => `class ${i}`),
    _about: { model: "Net", preprocess: "identity", device: "cpu", version: "0" },
    frame: bytes(),
    activation: 0,
    step: 0,
    _history: bytes(),
    status: {},
    evidence_status: {},
    gauge: {},
    tags: {},
    tag_keys: {},
    ...changes,
  };
}

/** The first bytes of a JPEG, all that the front end reads. */
export function frame(id = 0): DataView {
  return bytes(0xff, 0xd8, 0xff, id);
}

export function bytes(...values: number[]): DataView {
  return new DataView(new Uint8Array(values).buffer);
}

/** An anywidget model that records what is sent. */
export class FakeModel {
  readonly sent: ToKernel[] = [];
  readonly saved: Partial<Traits>[] = [];
  dead = false;
  private dirty: Partial<Traits> = {};
  private readonly handlers = new Map<string, Set<() => void>>();

  constructor(public state: Traits = traits()) {}

  get asModel(): AnyModel<Traits> {
    return this as unknown as AnyModel<Traits>;
  }

  get handlerCount(): number {
    return [...this.handlers.values()].reduce((sum, set) => sum + set.size, 0);
  }

  get<K extends keyof Traits>(name: K): Traits[K] {
    return this.state[name];
  }

  set<K extends keyof Traits>(name: K, value: Traits[K]): void {
    if (this.state[name] === value) return;
    this.state[name] = value;
    this.dirty[name] = value;
    this.emit(name);
  }

  save_changes(): void {
    if (this.dead) throw new Error("Cannot send");
    if (Object.keys(this.dirty).length > 0) this.saved.push(this.dirty);
    this.dirty = {};
  }

  send(message: ToKernel): void {
    if (this.dead) throw new Error("Cannot send");
    this.sent.push(message);
  }

  /** A custom message of the kernel. */
  async tell(content: unknown, buffers: DataView[] = []): Promise<void> {
    for (const handler of [...(this.handlers.get("msg:custom") ?? [])]) {
      (handler as (content: unknown, buffers: DataView[]) => void)(content, buffers);
    }
    await settle();
  }

  on(event: string, handler: () => void): void {
    if (!this.handlers.has(event)) this.handlers.set(event, new Set());
    this.handlers.get(event)?.add(handler);
  }

  off(event: string, handler: () => void): void {
    this.handlers.get(event)?.delete(handler);
  }

  /** An update message of the kernel: all values first, then the events, as Backbone does. */
  async receive(update: Partial<Traits>): Promise<void> {
    Object.assign(this.state, update);
    for (const name of Object.keys(update)) this.emit(name);
    await settle();
  }

  kinds(): string[] {
    return this.sent.map((message) => message.kind);
  }

  private emit(name: string): void {
    for (const handler of [...(this.handlers.get(`change:${name}`) ?? [])]) handler();
  }
}

/** Lets promises run, without letting a timer fire. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i += 1) await Promise.resolve();
}

export interface Screen {
  bitmapsOpen: number;
  decodes: number;
  observers: Set<FakeObserver>;
  /** Shows or hides what every observer watches. */
  show(on: boolean): void;
}

export class FakeObserver {
  private target: Element | undefined;

  constructor(
    private readonly callback: (entries: { isIntersecting: boolean }[]) => void,
    private readonly screen: Screen,
  ) {}

  observe(target: Element): void {
    this.target = target;
    this.screen.observers.add(this);
  }

  disconnect(): void {
    this.screen.observers.delete(this);
  }

  tell(on: boolean): void {
    if (this.target) this.callback([{ isIntersecting: on }]);
  }
}

/** Fakes the parts of a browser that jsdom lacks. */
export function installScreen(decode?: (blob: Blob) => Promise<void>): Screen {
  const screen: Screen = {
    bitmapsOpen: 0,
    decodes: 0,
    observers: new Set(),
    show(on) {
      for (const observer of screen.observers) observer.tell(on);
    },
  };
  vi.stubGlobal("createImageBitmap", async (blob: Blob) => {
    screen.decodes += 1;
    await decode?.(blob);
    screen.bitmapsOpen += 1;
    return { width: 8, height: 8, close: () => (screen.bitmapsOpen -= 1) };
  });
  vi.stubGlobal(
    "IntersectionObserver",
    class extends FakeObserver {
      constructor(callback: (entries: { isIntersecting: boolean }[]) => void) {
        super(callback, screen);
      }
    },
  );
  HTMLElement.prototype.checkVisibility = function (this: HTMLElement) {
    return this.closest("[hidden]") === null;
  };
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue({
    drawImage: () => undefined,
    createImageData: (width: number, height: number) => ({ data: new Uint8ClampedArray(4 * width * height) }),
    putImageData: () => undefined,
  } as never);
  return screen;
}

/** Fakes the lazily loaded module, available at once or `after` a promise: tests cannot import a script from a URL. */
export function installLazyModule(after: Promise<void> = Promise.resolve()): void {
  vi.spyOn(LazyModule.prototype, "fetch").mockImplementation(() => after.then(() => ({ script: lazy, style: "" })));
}

/** What a test has of its page: a faked screen, and the element that a widget is put into. */
export interface Page {
  screen: Screen;
  host: HTMLElement;
}

/** Gives each test of a file a page of its own, with timers that stand still, and puts it away afterwards. */
export function usePage(): Page {
  const page = {} as Page;
  beforeEach(() => {
    vi.useFakeTimers();
    page.screen = installScreen();
    installLazyModule();
    page.host = document.body.appendChild(document.createElement("div"));
  });
  afterEach(() => {
    page.host.remove();
    vi.useRealTimers();
  });
  return page;
}

/** Opens a tab as a click on its title does; gives its panel. */
export async function openTab(host: HTMLElement, title: string): Promise<HTMLElement> {
  const tab = [...host.querySelectorAll<HTMLElement>("[role=tab]")].find((one) => one.textContent === title)!;
  tab.click();
  await settle();
  return host.querySelector<HTMLElement>(`[id="${tab.getAttribute("aria-controls")}"]`)!;
}
