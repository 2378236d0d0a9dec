import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Wire } from "../../src/host/wire";
import { FakeModel } from "../fakes";

let model: FakeModel;
let refused: unknown[];
let wire: Wire;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel();
  refused = [];
  wire = new Wire(model.asModel, (error) => refused.push(error));
});

afterEach(() => vi.useRealTimers());

test("a drag is saved at most 20 times a second and ends with its last value", () => {
  for (let unit = 4; unit < 124; unit += 1) {
    wire.edit({ unit });
    vi.advanceTimersByTime(1000 / 120);
  }
  vi.advanceTimersByTime(100);
  expect(model.saved.length).toBeGreaterThanOrEqual(15);
  expect(model.saved.length).toBeLessThanOrEqual(21);
  expect(model.saved[model.saved.length - 1]).toEqual({ unit: 123 });
});

test("a single edit is saved at once", () => {
  wire.edit({ unit: 9 });
  expect(model.saved).toEqual([{ unit: 9 }]);
  expect(vi.getTimerCount()).toBe(0);
});

test("values of one edit are sent in one save", () => {
  wire.edit({ layer: "conv1", unit: 2 });
  expect(model.saved).toEqual([{ layer: "conv1", unit: 2 }]);
});

test("a waiting edit is sent before a message", () => {
  wire.edit({ unit: 9 });
  wire.edit({ unit: 10 });
  expect(model.saved).toHaveLength(1);
  wire.send({ kind: "restart" });
  expect(model.saved[1]).toEqual({ unit: 10 });
  expect(model.sent).toEqual([{ kind: "restart" }]);
  expect(vi.getTimerCount()).toBe(0);
});

test("an error thrown by the host is reported and not rethrown", () => {
  model.dead = true;
  expect(() => wire.edit({ unit: 9 })).not.toThrow();
  expect(wire.send({ kind: "ping" })).toBe(false);
  expect(refused).toHaveLength(2);
});
