import type { ToKernel } from "../protocol.gen";

/**
 * State of the connection. `ok`: heard from recently, or nothing expected. `silent`: several pings without an answer,
 * from a busy kernel or a dead one. `gone`: the host refuses to send or has reported a cut connection, or the kernel
 * has processed a ping that no explorer answered.
 */
export type Health = "ok" | "silent" | "gone";

// Each message to the kernel makes JupyterLab repaint its status twice: acks are few and cumulative.
const ACK_INTERVAL_MS = 250;
const SILENCE_MS = 2000;
const UNANSWERED_MS = 6000;
/** In hosts that deliver only answers (Colab, for what a thread sends), pings keep the frames coming. */
const KEEP_ALIVE_MS = 400;
/** A message this soon after a ping counts as its answer. */
const ANSWER_MS = 1500;
/** Pings slow down when nothing has answered for long, since a busy kernel queues every one of them. */
const SLOW_PING_MS = 5000;

/**
 * Tells the kernel whether a view is visible and which frame was drawn last, and notices when it no longer answers.
 *
 * Acknowledgements are sent only while a view is visible, so that an orphaned or hidden widget stops the stream by
 * itself. `send` returns false where the host threw.
 */
export class Connection {
  private readonly visibleViews = new Set<object>();
  private newest = -1;
  private acked = -1;
  private lastAck = -Infinity;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private silenceTimer: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;
  private running = false;
  private awaiting = false;
  private pageHidden = document.visibilityState === "hidden";
  private lastVisible = false;
  private state: Health = "ok";
  private disposed = false;
  private pingedAt = -Infinity;
  /** Number of the last ping, and of the last one answered. */
  private pings = 0;
  private answeredPing = 0;
  /** How many messages in a row were answers to pings. */
  private answersInARow = 0;

  constructor(
    private readonly send: (message: ToKernel, onDone?: () => void) => boolean,
    private readonly onHealth: (health: Health) => void,
    private readonly onVisible: (on: boolean) => void,
  ) {
    document.addEventListener("visibilitychange", this.pageChanged);
  }

  get health(): Health {
    return this.state;
  }

  get visible(): boolean {
    return this.visibleViews.size > 0 && !this.pageHidden;
  }

  /** Announces this page to the kernel. */
  hello(): void {
    // After a hello the kernel may number its frames anew.
    this.newest = this.acked = -1;
    if (this.send({ kind: "hello" })) this.expectReply();
  }

  /** Observes whether `element` is visible; the returned function stops that. */
  watch(element: Element): () => void {
    // Hosts without the observer (old webviews) count as visible.
    if (typeof IntersectionObserver === "undefined") {
      this.setVisible(element, true);
      return () => this.setVisible(element, false);
    }
    const observer = new IntersectionObserver((entries) => {
      const last = entries[entries.length - 1];
      // An element removed from the page without a clean-up counts as not visible.
      if (last) this.setVisible(element, last.isIntersecting && element.isConnected);
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      this.setVisible(element, false);
    };
  }

  /** Frame `n` was drawn. */
  drawn(n: number): void {
    this.newest = n;
    this.scheduleAck();
  }

  /** A message came from the kernel. `running`: more is expected soon. */
  heard(running: boolean): void {
    this.running = running;
    this.awaiting = false;
    this.answersInARow = performance.now() - this.pingedAt < ANSWER_MS ? this.answersInARow + 1 : 0;
    this.pingedAt = -Infinity;
    this.pong();
  }

  /** The explorer has received a ping; it may still be in a long step. */
  pong(): void {
    this.answeredPing = this.pings;
    this.heardAt = performance.now();
    this.setHealth("ok");
    this.armSilence();
  }

  /** A control was used: even a paused kernel will answer now. */
  expectReply(): void {
    if (this.awaiting || this.running) return;
    this.awaiting = true;
    this.heardAt = performance.now();
    this.armSilence();
  }

  /** The host threw while sending. */
  refused(): void {
    if (!this.disposed) this.setHealth("gone");
  }

  /**
   * The host reports that the connection to the kernel was lost (a restart) or restored. It does not say which, so a
   * ping finds out.
   */
  lineChanged(): void {
    this.setHealth("gone");
    this.ping();
  }

  dispose(): void {
    this.disposed = true;
    document.removeEventListener("visibilitychange", this.pageChanged);
    clearTimeout(this.ackTimer);
    clearTimeout(this.silenceTimer);
    this.visibleViews.clear();
  }

  private readonly pageChanged = (): void => {
    this.pageHidden = document.visibilityState === "hidden";
    this.sendVisible();
  };

  private setVisible(key: object, on: boolean): void {
    if (on) this.visibleViews.add(key);
    else this.visibleViews.delete(key);
    this.sendVisible();
  }

  private sendVisible(): void {
    if (this.disposed || this.visible === this.lastVisible) return;
    this.lastVisible = this.visible;
    this.onVisible(this.lastVisible);
    this.send({ kind: "visible", on: this.lastVisible });
    if (this.lastVisible) {
      // Silence while no view was visible does not count.
      this.heardAt = performance.now();
      this.scheduleAck();
    }
    this.armSilence();
  }

  private scheduleAck(): void {
    if (this.ackTimer !== undefined || this.newest === this.acked || !this.visible) return;
    const wait = Math.max(0, this.lastAck + ACK_INTERVAL_MS - performance.now());
    this.ackTimer = setTimeout(() => {
      this.ackTimer = undefined;
      if (this.newest === this.acked || !this.visible) return;
      this.acked = this.newest;
      this.lastAck = performance.now();
      this.send({ kind: "ack", n: this.newest, at: Date.now() });
    }, wait);
  }

  private armSilence(wait = this.answersInARow > 1 ? KEEP_ALIVE_MS : SILENCE_MS): void {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = undefined;
    // A kernel that is gone is not pinged: each ping would log an error for the user.
    if (this.state === "gone" || !this.visible || !(this.running || this.awaiting)) return;
    this.silenceTimer = setTimeout(() => this.pingAgain(), wait);
  }

  private pingAgain(): void {
    const long = performance.now() - this.heardAt >= UNANSWERED_MS;
    if (this.ping() && long) this.setHealth("silent");
    this.armSilence(long ? SLOW_PING_MS : SILENCE_MS);
  }

  private ping(): boolean {
    this.pingedAt = performance.now();
    const ping = ++this.pings;
    return this.send({ kind: "ping" }, () => {
      if (this.answeredPing < ping) this.setHealth("gone");
    });
  }

  private setHealth(health: Health): void {
    if (health === this.state) return;
    this.state = health;
    if (health === "gone") clearTimeout(this.silenceTimer);
    this.onHealth(health);
  }
}
