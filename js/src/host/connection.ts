import type { Outbound } from "../protocol";

/**
 * `ok`: heard from lately, or nothing expected. `silent`: asked several times, no answer (a busy kernel
 * looks the same as a dead one from here). `gone`: the host refuses to send, or said that the line was cut, or the
 * kernel has dealt with a question and nobody there has answered it.
 */
export type Health = "ok" | "silent" | "gone";

// Each message to the kernel makes JupyterLab repaint its status twice: acks are few and cumulative.
const ACK_INTERVAL_MS = 250;
const SILENCE_MS = 2000;
const UNANSWERED_MS = 6000;
/** Where the host hands on nothing but answers (Colab, for what a thread sends), asking is what keeps frames coming. */
const ASK_ALWAYS_MS = 400;
/** What comes so soon after a question is taken for its answer. */
const ANSWER_MS = 1500;
/** Once nobody has answered for long, asking slows down: a busy kernel keeps every question in a queue. */
const SLOW_POLL_MS = 5000;

/**
 * Tells the kernel what is being looked at, and notices when it no longer answers.
 *
 * Acks go out only while some view can be seen, so an orphaned or hidden widget stops the stream by
 * itself. `send` returns false where the host threw.
 */
export class Attention {
  private readonly seen = new Set<object>();
  private newest = -1;
  private acked = -1;
  private lastAck = -Infinity;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private silenceTimer: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;
  private running = false;
  private awaiting = false;
  private pageHidden = document.visibilityState === "hidden";
  private told = false;
  private state: Health = "ok";
  private disposed = false;
  private askedAt = -Infinity;
  /** Number of the last question, and of the last one that was answered. */
  private question = 0;
  private answered = 0;
  /** How many of the last things heard were answers to a question, in a row. */
  private answers = 0;

  constructor(
    private readonly send: (message: Outbound, onDone?: () => void) => boolean,
    private readonly onHealth: (health: Health) => void,
    private readonly onVisible: (on: boolean) => void,
  ) {
    document.addEventListener("visibilitychange", this.pageChanged);
  }

  get health(): Health {
    return this.state;
  }

  get visible(): boolean {
    return this.seen.size > 0 && !this.pageHidden;
  }

  hello(): void {
    // A kernel that has just been greeted numbers its frames as it likes.
    this.newest = this.acked = -1;
    if (this.send({ kind: "hello" })) this.expectReply();
  }

  /** Watches whether `element` can be seen; the returned function ends that. */
  watch(element: Element): () => void {
    // Hosts without the observer (old webviews) get frames all the time rather than never.
    if (typeof IntersectionObserver === "undefined") {
      this.setSeen(element, true);
      return () => this.setSeen(element, false);
    }
    const observer = new IntersectionObserver((entries) => {
      const last = entries[entries.length - 1];
      // An element taken out of the page without a clean-up counts as not intersecting.
      if (last) this.setSeen(element, last.isIntersecting && element.isConnected);
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      this.setSeen(element, false);
    };
  }

  drawn(n: number): void {
    this.newest = n;
    this.scheduleAck();
  }

  /** Something came from the kernel. `running`: more is to be expected soon. */
  heard(running: boolean): void {
    this.running = running;
    this.awaiting = false;
    this.answers = performance.now() - this.askedAt < ANSWER_MS ? this.answers + 1 : 0;
    this.askedAt = -Infinity;
    this.here();
  }

  /** The explorer has heard a question, and may still be in a long step. */
  here(): void {
    this.answered = this.question;
    this.heardAt = performance.now();
    this.setHealth("ok");
    this.armSilence();
  }

  /** A control was used: even a paused kernel has something to say now. */
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
   * The host says that the line to the kernel was cut (the kernel is restarted), or that there is one again. Which of
   * the two is not said; an answer tells.
   */
  cut(): void {
    this.setHealth("gone");
    this.ask();
  }

  dispose(): void {
    this.disposed = true;
    document.removeEventListener("visibilitychange", this.pageChanged);
    clearTimeout(this.ackTimer);
    clearTimeout(this.silenceTimer);
    this.seen.clear();
  }

  private readonly pageChanged = (): void => {
    this.pageHidden = document.visibilityState === "hidden";
    this.tellVisible();
  };

  private setSeen(key: object, on: boolean): void {
    if (on) this.seen.add(key);
    else this.seen.delete(key);
    this.tellVisible();
  }

  private tellVisible(): void {
    if (this.disposed || this.visible === this.told) return;
    this.told = this.visible;
    this.onVisible(this.told);
    this.send({ kind: "visible", on: this.told });
    if (this.told) {
      // Silence while nobody looked is not the kernel's fault.
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

  private armSilence(wait = this.answers > 1 ? ASK_ALWAYS_MS : SILENCE_MS): void {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = undefined;
    // Of one that is gone nothing is asked: each question would make the kernel complain to the user.
    if (this.state === "gone" || !this.visible || !(this.running || this.awaiting)) return;
    this.silenceTimer = setTimeout(() => this.askAgain(), wait);
  }

  private askAgain(): void {
    const long = performance.now() - this.heardAt >= UNANSWERED_MS;
    if (this.ask() && long) this.setHealth("silent");
    this.armSilence(long ? SLOW_POLL_MS : SILENCE_MS);
  }

  private ask(): boolean {
    this.askedAt = performance.now();
    const question = ++this.question;
    return this.send({ kind: "ping" }, () => {
      if (this.answered < question) this.setHealth("gone");
    });
  }

  private setHealth(health: Health): void {
    if (health === this.state) return;
    this.state = health;
    if (health === "gone") clearTimeout(this.silenceTimer);
    this.onHealth(health);
  }
}
