import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Connection, type Health } from "../../src/host/connection";
import type { ToKernel } from "../../src/protocol.gen";
import { installScreen, type Screen } from "../fakes";

let sent: ToKernel[];
let health: Health[];
let alive: boolean;
let dealtWith: (() => void) | undefined;
let screen: Screen;
let connection: Connection;

beforeEach(() => {
  vi.useFakeTimers();
  screen = installScreen();
  sent = [];
  health = [];
  alive = true;
  connection = new Connection(
    (message, onDone) => {
      dealtWith = onDone;
      if (alive) sent.push(message);
      else connection.refused();
      return alive;
    },
    (state) => health.push(state),
    () => undefined,
  );
});

afterEach(() => {
  connection.dispose();
  vi.useRealTimers();
});

const of = (kind: string): ToKernel[] => sent.filter((message) => message.kind === kind);

function look(): () => void {
  const element = document.body.appendChild(document.createElement("div"));
  const stop = connection.watch(element);
  screen.show(true);
  return () => {
    stop();
    element.remove();
  };
}

function hidePage(hidden: boolean): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(hidden ? "hidden" : "visible");
  document.dispatchEvent(new Event("visibilitychange"));
}

test("acks are cumulative and at most one in 250 ms", () => {
  look();
  for (let n = 1; n <= 60; n += 1) {
    connection.drawn(n);
    vi.advanceTimersByTime(1000 / 60);
  }
  vi.advanceTimersByTime(300);
  const acks = of("ack");
  expect(acks.length).toBeLessThanOrEqual(6);
  expect(acks.length).toBeGreaterThanOrEqual(4);
  expect(acks[acks.length - 1]).toEqual({ kind: "ack", n: 60, at: expect.any(Number) });
});

test("an ack is not repeated when nothing new was drawn", () => {
  look();
  connection.drawn(7);
  vi.advanceTimersByTime(5000);
  expect(of("ack")).toEqual([{ kind: "ack", n: 7, at: expect.any(Number) }]);
});

test("an ack carries the time it was sent, by the clock that all pages of a machine share", () => {
  look();
  vi.advanceTimersByTime(1234);
  connection.drawn(1);
  vi.advanceTimersByTime(300);
  const [ack] = of("ack") as { at: number }[];
  expect(Date.now() - (ack?.at ?? 0)).toBeLessThanOrEqual(300);
  expect(Date.now() - (ack?.at ?? 0)).toBeGreaterThanOrEqual(299);
});

test("no ack while no view is visible, one when a view is again", () => {
  const leave = look();
  leave();
  connection.drawn(3);
  vi.advanceTimersByTime(1000);
  expect(of("ack")).toEqual([]);
  look();
  vi.advanceTimersByTime(1000);
  expect(of("ack")).toEqual([{ kind: "ack", n: 3, at: expect.any(Number) }]);
});

test("a scheduled ack is not sent once no view is visible", () => {
  const leave = look();
  connection.drawn(1);
  vi.advanceTimersByTime(10);
  connection.drawn(2);
  leave();
  vi.advanceTimersByTime(1000);
  expect(of("ack")).toEqual([{ kind: "ack", n: 1, at: expect.any(Number) }]);
});

test("visible is sent on the change from no view to some and back, not for each view", () => {
  const first = look();
  const second = look();
  first();
  second();
  expect(of("visible")).toEqual([
    { kind: "visible", on: true },
    { kind: "visible", on: false },
  ]);
});

test("a hidden page counts as not visible", () => {
  look();
  hidePage(true);
  connection.drawn(1);
  vi.advanceTimersByTime(10_000);
  expect(of("visible").map((message) => "on" in message && message.on)).toEqual([true, false]);
  expect([...of("ack"), ...of("ping")]).toEqual([]);
  hidePage(false);
  vi.advanceTimersByTime(300);
  expect(of("ack")).toHaveLength(1);
});

test("pings after 2 s of silence, is silent after 6 s, and then pings less often", () => {
  look();
  connection.heard(true);
  vi.advanceTimersByTime(1999);
  expect(of("ping")).toHaveLength(0);
  vi.advanceTimersByTime(1);
  expect(of("ping")).toHaveLength(1);
  expect(health).toEqual([]);
  vi.advanceTimersByTime(4000);
  expect(health).toEqual(["silent"]);
  const asked = of("ping").length;
  vi.advanceTimersByTime(20_000);
  expect(of("ping").length - asked).toBe(4);
});

test("an answer ends the silence", () => {
  look();
  connection.heard(true);
  vi.advanceTimersByTime(7000);
  connection.heard(true);
  expect(health).toEqual(["silent", "ok"]);
  vi.advanceTimersByTime(1500);
  const asked = of("ping").length;
  connection.heard(true);
  vi.advanceTimersByTime(1500);
  expect(of("ping")).toHaveLength(asked);
});

test("a paused run may stay silent until a control is used", () => {
  look();
  connection.heard(false);
  vi.advanceTimersByTime(60_000);
  expect(of("ping")).toHaveLength(0);
  connection.expectReply();
  vi.advanceTimersByTime(2000);
  expect(of("ping")).toHaveLength(1);
  connection.heard(false);
  vi.advanceTimersByTime(60_000);
  expect(of("ping")).toHaveLength(1);
});

test("a host that delivers only answers is pinged often, until messages come by themselves", () => {
  look();
  connection.heard(true);
  vi.advanceTimersByTime(2000);
  connection.heard(true);
  vi.advanceTimersByTime(2000);
  for (let answers = 2; answers <= 5; answers++) {
    expect(of("ping")).toHaveLength(answers);
    connection.heard(true);
    vi.advanceTimersByTime(400);
  }
  connection.heard(true);
  connection.heard(true);
  vi.advanceTimersByTime(1900);
  expect(of("ping")).toHaveLength(6);
});

test("no ping while no view is visible", () => {
  const leave = look();
  connection.heard(true);
  leave();
  vi.advanceTimersByTime(60_000);
  expect(of("ping")).toHaveLength(0);
  expect(health).toEqual([]);
});

test("the kernel is gone when the host refuses to send, until a message comes again", () => {
  look();
  connection.heard(true);
  alive = false;
  vi.advanceTimersByTime(2000);
  expect(health).toEqual(["gone"]);
  vi.advanceTimersByTime(20_000);
  expect(health).toEqual(["gone"]);
  alive = true;
  connection.heard(true);
  expect(health).toEqual(["gone", "ok"]);
});

test("a reported cut is followed by a ping, and the next message restores the connection", () => {
  look();
  connection.heard(true);
  connection.lineChanged();
  expect(health).toEqual(["gone"]);
  expect(of("ping")).toHaveLength(1);
  connection.heard(true);
  expect(health).toEqual(["gone", "ok"]);
  // a last frame of the old kernel may still have been under way
  vi.advanceTimersByTime(2000);
  dealtWith?.();
  expect(health).toEqual(["gone", "ok", "gone"]);
});

test("the kernel is gone when it has processed a ping without an answer", () => {
  look();
  connection.heard(true);
  vi.advanceTimersByTime(2000);
  expect(health).toEqual([]);
  dealtWith?.();
  expect(health).toEqual(["gone"]);
  // nobody is asked in vain, which the kernel would complain about
  vi.advanceTimersByTime(60_000);
  expect(of("ping")).toHaveLength(1);
});

test("an explorer in a long step counts neither as gone nor as silent", () => {
  look();
  connection.heard(true);
  for (let seconds = 0; seconds < 20; seconds += 2) {
    vi.advanceTimersByTime(2000);
    connection.pong();
    dealtWith?.();
  }
  expect(health).toEqual([]);
});

test("after a hello the same frame number is acknowledged again", () => {
  look();
  connection.drawn(5);
  vi.advanceTimersByTime(300);
  connection.hello();
  connection.drawn(5);
  vi.advanceTimersByTime(300);
  expect(of("ack")).toHaveLength(2);
});

test("no timer runs after dispose", () => {
  look();
  connection.heard(true);
  connection.drawn(1);
  connection.dispose();
  expect(vi.getTimerCount()).toBe(0);
  hidePage(true);
  expect(of("visible")).toHaveLength(1);
});
