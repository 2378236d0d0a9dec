import type { AnyModel } from "@anywidget/types";
import { Attention } from "./host/connection";
import { Wire } from "./host/wire";
import { Later, type LaterTopic } from "./panels/lazy";
import { Keeper } from "./panels/save";
import {
  type Binary,
  bytesOf,
  type Inbound,
  type Outbound,
  readStatus,
  type Status,
  TRAIT_NAMES,
  type TraitName,
  type Traits,
  WIRE,
} from "./protocol";
import { CropStore } from "./stores/crops";
import { FrameStore } from "./stores/frames";

/** What a view can wait for: a trait, or one of the things only the front end knows. */
export type Topic = TraitName | "health" | "undecodable" | "drawn" | "crops" | "large" | LaterTopic;
type Listener = (changed: ReadonlySet<Topic>) => void;

const LIVE: ReadonlySet<Topic> = new Set(WIRE.live);

/** All that one model needs in the page, however many views it has. */
export class Session {
  readonly wire: Wire;
  readonly store: FrameStore;
  readonly attention: Attention;
  readonly crops: CropStore;
  readonly keeper: Keeper;
  readonly later: Later;
  /** True after a picture could not be decoded, until one can. */
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
      () => this.attention.refused(),
      () => this.store.hurry(),
    );
    this.store = new FrameStore(
      (n) => {
        this.undecodable = false;
        this.attention.drawn(n);
        this.note("drawn");
      },
      () => {
        this.undecodable = true;
        this.note("undecodable");
      },
    );
    this.attention = new Attention(
      (message, onDone) => this.wire.send(message, onDone),
      () => this.note("health"),
      (on) => this.store.want(on),
    );
    this.status = readStatus(model.get("status"));
    const ask = (message: Outbound): boolean => {
      const sent = this.wire.send(message);
      if (sent) this.attention.expectReply();
      return sent;
    };
    this.crops = new CropStore(ask, (topic) => this.note(topic));
    this.keeper = new Keeper(ask);
    this.later = new Later(
      // An ack is no question; nor is what the sheet says, where a long step may stand before an answer.
      (message) => (message.kind === "compare" ? ask(message) : this.wire.send(message)),
      (topic) => this.note(topic),
    );
    const on = (event: string, handler: (...args: never[]) => void): void => {
      this.handlers.push([event, handler]);
      model.on(event as never, handler as never);
    };
    on("msg:custom", (content: unknown, buffers?: readonly Binary[]) => {
      if ((content as Inbound | null)?.kind === "pong") this.attention.here();
      for (const store of [this.crops, this.keeper, this.later]) store.receive(content, buffers ?? []);
    });
    // Jupyter's own event, which says in time what the first refused message would say late.
    on("comm_live_update", () => this.attention.cut());
    for (const name of TRAIT_NAMES) on(`change:${name}`, () => this.note(name));

    // A page that is reloaded finds the last picture in the model already.
    this.takeFrame();
    this.attention.hello();
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
    this.attention.dispose();
    this.store.dispose();
    this.crops.dispose();
    this.later.dispose();
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  /**
   * One update message changes several traits, and hosts differ in whether all values are there at the
   * first event: waiting for the end of the task shows every view one consistent state, once.
   */
  private note(topic: Topic): void {
    if (this.disposed) return;
    if (this.changed.size === 0) queueMicrotask(() => this.flush());
    this.changed.add(topic);
  }

  private flush(): void {
    const changed = new Set(this.changed);
    this.changed.clear();
    if (this.disposed) return;
    if ([...changed].some((topic) => LIVE.has(topic))) {
      this.status = readStatus(this.wire.get("status"));
      this.takeFrame();
      const { state } = this.status;
      this.attention.heard(this.wire.get("playing") && (state === "running" || state === "starting"));
    }
    for (const listener of [...this.listeners]) listener(changed);
  }

  private takeFrame(): void {
    const frame = this.wire.get("frame");
    // A status-only message leaves the frame as it was.
    if (frame === this.lastFrame) return;
    this.lastFrame = frame;
    const bytes = bytesOf(frame);
    if (bytes) this.store.offer(this.status.n, bytes);
  }
}
