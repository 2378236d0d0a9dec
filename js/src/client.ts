import type { AnyModel } from "@anywidget/types";
import { bytesOf, readStatus } from "./decode";
import { Connection } from "./host/connection";
import { Wire } from "./host/wire";
import {
  type Binary,
  LIVE_TRAITS,
  type Status,
  type ToKernel,
  type ToPage,
  TRAIT_NAMES,
  type Traits,
} from "./protocol.gen";
import { CropStore } from "./stores/crops";
import { ExportStore } from "./stores/exports";
import { FrameStore } from "./stores/frames";
import { LazyModule } from "./stores/lazy";
import { SeedStore } from "./stores/seeds";
import type { Topic } from "./topics";

type Listener = (changed: ReadonlySet<Topic>) => void;

const LIVE: ReadonlySet<Topic> = new Set(LIVE_TRAITS);

/** The page's side of one widget model: its stores and its connection, shared by all its views. */
export class WidgetClient {
  readonly wire: Wire;
  readonly frames: FrameStore;
  readonly connection: Connection;
  readonly seeds: SeedStore;
  readonly crops: CropStore;
  readonly exports: ExportStore;
  readonly lazy: LazyModule;
  /** Whether the last picture could not be decoded. */
  undecodable = false;
  status: Status;

  private readonly listeners = new Set<Listener>();
  private readonly changed = new Set<Topic>();
  private readonly handlers: [string, (...args: never[]) => void][] = [];
  private lastFrame: unknown = null;
  private disposed = false;

  constructor(private readonly model: AnyModel<Traits>) {
    this.wire = new Wire(
      model,
      () => this.connection.refused(),
      () => this.frames.hurry(),
    );
    this.frames = new FrameStore(
      (n) => {
        this.undecodable = false;
        this.connection.drawn(n);
        this.publishSoon("drawn");
      },
      () => {
        this.undecodable = true;
        this.publishSoon("undecodable");
      },
    );
    this.connection = new Connection(
      (message, onDone) => this.wire.send(message, onDone),
      () => this.publishSoon("health"),
      (on) => this.frames.setVisible(on),
    );
    this.status = readStatus(model.get("status"));
    const request = (message: ToKernel): boolean => {
      const sent = this.wire.send(message);
      if (sent) this.connection.expectReply();
      return sent;
    };
    this.seeds = new SeedStore(() => this.publishSoon("seeds"));
    this.crops = new CropStore(request, (topic) => this.publishSoon(topic));
    this.exports = new ExportStore(request);
    this.lazy = new LazyModule(
      // The rest needs no reply soon: an ack never gets one, and a long step may come before a sheet's.
      (message) => (message.kind === "compare" ? request(message) : this.wire.send(message)),
      (topic) => this.publishSoon(topic),
    );
    const on = (event: string, handler: (...args: never[]) => void): void => {
      this.handlers.push([event, handler]);
      model.on(event as never, handler as never);
    };
    on("msg:custom", (content: unknown, buffers?: readonly Binary[]) => {
      if ((content as ToPage | null)?.kind === "pong") this.connection.pong();
      for (const store of [this.seeds, this.crops, this.exports, this.lazy]) store.receive(content, buffers ?? []);
    });
    // Jupyter's own event; without it only the first message that is refused would show that the kernel is gone.
    on("comm_live_update", () => this.connection.lineChanged());
    for (const name of TRAIT_NAMES) on(`change:${name}`, () => this.publishSoon(name));

    // In a page that is loaded again the model already has the last picture.
    this.offerFrame();
    this.connection.hello();
  }

  /** Calls `listener` after each batch of changes until `signal` aborts. */
  subscribe(listener: Listener, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener), { once: true });
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.wire.flush();
    for (const [event, handler] of this.handlers) this.model.off(event as never, handler as never);
    this.listeners.clear();
    this.connection.dispose();
    this.frames.dispose();
    this.seeds.dispose();
    this.crops.dispose();
    this.lazy.dispose();
  }

  /** Whether the explorer has a dataset: its examples are then shown beside the picture. */
  get hasDataset(): boolean {
    return Boolean(this.wire.get("evidence_status")?.state);
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  /**
   * Collects changes until the end of the task, then publishes them at once: one update message changes several
   * traits, and hosts differ in whether all values are there at the first event.
   */
  private publishSoon(topic: Topic): void {
    if (this.disposed) return;
    if (this.changed.size === 0) queueMicrotask(() => this.publish());
    this.changed.add(topic);
  }

  private publish(): void {
    const changed = new Set(this.changed);
    this.changed.clear();
    if (this.disposed) return;
    if ([...changed].some((topic) => LIVE.has(topic))) {
      this.status = readStatus(this.wire.get("status"));
      this.offerFrame();
      const { state } = this.status;
      this.connection.heard(this.wire.get("playing") && (state === "running" || state === "starting"));
    }
    for (const listener of [...this.listeners]) listener(changed);
  }

  private offerFrame(): void {
    const frame = this.wire.get("frame");
    // A status-only message leaves the frame as it was.
    if (frame === this.lastFrame) return;
    this.lastFrame = frame;
    const bytes = bytesOf(frame);
    if (bytes) this.frames.offer(this.status.n, bytes);
  }
}
