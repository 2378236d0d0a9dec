import type { AnyModel } from "@anywidget/types";
import type { ControlValues, ToKernel, TraitName, Traits } from "../protocol.gen";

/** At most 20 saves a second, since JupyterLab repaints its kernel status for each, which costs frames. */
const SAVE_INTERVAL_MS = 50;

/**
 * The only place that writes to the host's model.
 *
 * When its kernel is dead a host throws from `send` and `save_changes`, inside whatever input event called them. Here
 * that becomes a call of `onRefused` and a returned false, and never an error of the page.
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

  /** Sets controls immediately in every view and saves them soon; the last value is always sent. */
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
   * Sends a custom message after any edit that still waits, so that both arrive in the order of the user's actions.
   * `onDone` is called when the kernel has processed it, in hosts that report this (Jupyter's do).
   */
  send(message: ToKernel, onDone?: () => void): boolean {
    this.flush();
    const status = (reply: { content?: { execution_state?: string } }): void => {
      if (reply.content?.execution_state === "idle") onDone?.();
    };
    return this.attempt(() => this.model.send(message, onDone && { iopub: { status } }));
  }

  /** Saves edits that still wait. Called last before the wire is disposed, too. */
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
