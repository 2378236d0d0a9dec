import type { AnyModel } from "@anywidget/types";
import type { ControlValues, Outbound, TraitName, Traits } from "../protocol";

/** 20 saves a second: more make JupyterLab repaint its kernel status for each and cost frames. */
const SAVE_INTERVAL_MS = 50;

/**
 * The only place that writes to the host's model.
 *
 * A host throws from inside `send` and `save_changes` when its kernel is dead, from whatever input event
 * happened to call it. Here that becomes one `onRefused` call and a `false`, never a page error.
 */
export class Wire {
  private lastSave = -Infinity;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly model: AnyModel<Traits>,
    private readonly onRefused: (error: unknown) => void,
    private readonly onEdit: () => void = () => undefined,
  ) {}

  get<K extends TraitName>(name: K): Traits[K] {
    return this.model.get(name);
  }

  /** Sets controls at once for every view and saves them soon; the last value always goes out. */
  edit(values: ControlValues): void {
    for (const [name, value] of Object.entries(values)) {
      this.model.set(name as TraitName, value as never);
    }
    this.onEdit();
    if (this.timer !== undefined) return;
    const wait = this.lastSave + SAVE_INTERVAL_MS - performance.now();
    if (wait <= 0) this.save();
    else this.timer = setTimeout(() => this.save(), wait);
  }

  /**
   * Sends a custom message, after any edit still waiting, so that they arrive in the order of the hand. `onDone` is
   * called when the kernel has dealt with it, in hosts that tell (Jupyter's do).
   */
  send(message: Outbound, onDone?: () => void): boolean {
    this.flush();
    const status = (reply: { content?: { execution_state?: string } }): void => {
      if (reply.content?.execution_state === "idle") onDone?.();
    };
    return this.attempt(() => this.model.send(message, onDone && { iopub: { status } }));
  }

  /** Saves what waits. Also the last thing done before the wire is dropped. */
  flush(): void {
    if (this.timer !== undefined) this.save();
  }

  private save(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lastSave = performance.now();
    this.attempt(() => this.model.save_changes());
  }

  private attempt(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.onRefused(error);
      return false;
    }
  }
}
