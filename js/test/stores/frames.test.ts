import { expect, test, vi } from "vitest";
import { FrameStore, mimeType } from "../../src/stores/frames";
import { installScreen, settle } from "../fakes";

const jpeg = (id: number): Uint8Array<ArrayBuffer> => new Uint8Array([0xff, 0xd8, 0xff, id]);

/** Decodes that end when told to, in order. */
function slowDecoder() {
  const waiting: { end: () => void; fail: () => void }[] = [];
  const screen = installScreen(
    () => new Promise<void>((end, reject) => waiting.push({ end, fail: () => reject(new Error("bad data")) })),
  );
  return { screen, waiting };
}

function makeStore() {
  const drawn: number[] = [];
  const errors: unknown[] = [];
  const store = new FrameStore(
    (n) => drawn.push(n),
    (error) => errors.push(error),
  );
  store.setVisible(true);
  return { store, drawn, errors };
}

test("only the newest of the frames that come during a decode is decoded", async () => {
  const { screen, waiting } = slowDecoder();
  const { store, drawn } = makeStore();
  for (const n of [1, 2, 3, 4]) store.offer(n, jpeg(n));
  await settle();
  expect(screen.decodes).toBe(1);
  waiting[0]?.end();
  await settle();
  waiting[1]?.end();
  await repainted();
  await repainted();
  expect(drawn).toEqual([1, 4]);
  expect(screen.decodes).toBe(2);
  expect([store.received, store.drawn, store.n]).toEqual([4, 2, 4]);
});

const repainted = async (): Promise<void> => {
  await settle();
  await new Promise(requestAnimationFrame);
};

test("frames that arrive together get a repaint each, the newest two of many", async () => {
  const screen = installScreen();
  const { store, drawn } = makeStore();
  for (const n of [1, 2, 3, 4]) {
    store.offer(n, jpeg(n));
    await settle();
  }
  // What is drawn before a repaint is seen only if nothing is drawn over it before that repaint.
  expect(drawn).toEqual([]);
  await repainted();
  expect(drawn).toEqual([3]);
  await repainted();
  expect(drawn).toEqual([3, 4]);
  await repainted();
  store.offer(5, jpeg(5));
  await repainted();
  expect(drawn).toEqual([3, 4, 5]);
  store.offer(6, jpeg(6));
  await settle();
  store.dispose();
  await repainted();
  expect(drawn).toEqual([3, 4, 5]);
  expect(screen.bitmapsOpen).toBe(0);
});

test("after the use of a control a frame is shown immediately and queued ones are dropped", async () => {
  const screen = installScreen();
  const { store, drawn } = makeStore();
  for (const n of [1, 2]) {
    store.offer(n, jpeg(n));
    await settle();
  }
  store.hurry();
  for (const n of [3, 4]) {
    store.offer(n, jpeg(n));
    await settle();
  }
  await repainted();
  expect(drawn).toEqual([3, 4]);
  expect(screen.bitmapsOpen).toBe(1);
});

test("a frame is decoded once and drawn in every view, also in one that joins later", async () => {
  const screen = installScreen();
  const { store } = makeStore();
  const first = vi.fn();
  const second = vi.fn();
  store.attach(first);
  store.attach(second);
  store.offer(1, jpeg(1));
  await repainted();
  expect([first.mock.calls.length, second.mock.calls.length, screen.decodes]).toEqual([1, 1, 1]);
  const late = vi.fn();
  const leave = store.attach(late);
  expect(late).toHaveBeenCalledOnce();
  leave();
  store.offer(2, jpeg(2));
  await repainted();
  expect(late).toHaveBeenCalledOnce();
});

test("nothing is decoded while no view is visible, and the newest frame as soon as one is", async () => {
  const screen = installScreen();
  const { store, drawn } = makeStore();
  store.setVisible(false);
  store.offer(1, jpeg(1));
  store.offer(2, jpeg(2));
  await settle();
  expect(screen.decodes).toBe(0);
  store.setVisible(true);
  await repainted();
  expect(drawn).toEqual([2]);
});

test("one bitmap is kept, and none after dispose, even during a decode", async () => {
  const { screen, waiting } = slowDecoder();
  const { store, drawn } = makeStore();
  for (const n of [1, 2, 3]) {
    store.offer(n, jpeg(n));
    await settle();
    waiting[n - 1]?.end();
    await repainted();
  }
  expect(screen.bitmapsOpen).toBe(1);
  store.offer(4, jpeg(4));
  await settle();
  store.dispose();
  waiting[3]?.end();
  await settle();
  expect(screen.bitmapsOpen).toBe(0);
  expect(drawn).toEqual([1, 2, 3]);
});

test("with WebCodecs frames are drawn directly and closed once each", async () => {
  const screen = installScreen();
  const closed: number[] = [];
  let decoders = 0;
  vi.stubGlobal(
    "ImageDecoder",
    class {
      private readonly id: number;
      constructor(init: { data: Uint8Array; type: string }) {
        expect(init.type).toBe("image/jpeg");
        this.id = init.data[3] ?? -1;
        decoders += 1;
      }
      decode = async () => ({ image: { id: this.id, close: () => closed.push(this.id) } });
      close = () => (decoders -= 1);
    },
  );
  try {
    const { store } = makeStore();
    const shown: unknown[] = [];
    store.attach((picture) => shown.push((picture as unknown as { id: number }).id));
    for (const n of [1, 2, 3]) {
      store.offer(n, jpeg(n));
      await repainted();
    }
    expect(shown).toEqual([1, 2, 3]);
    expect(closed).toEqual([1, 2]);
    store.dispose();
    expect(closed).toEqual([1, 2, 3]);
    expect([decoders, screen.decodes]).toEqual([0, 0]);
  } finally {
    vi.unstubAllGlobals();
  }
});

test("a frame that cannot be decoded is reported and does not stop the next", async () => {
  const { waiting } = slowDecoder();
  const { store, drawn, errors } = makeStore();
  store.offer(1, jpeg(1));
  await settle();
  waiting[0]?.fail();
  await settle();
  expect(errors).toHaveLength(1);
  store.offer(2, jpeg(2));
  await settle();
  waiting[1]?.end();
  await repainted();
  expect(drawn).toEqual([2]);
});

test("the media type is read from the first bytes", () => {
  expect(mimeType(jpeg(0))).toBe("image/jpeg");
  expect(mimeType(new Uint8Array([0x89, 0x50, 0x4e, 0x47]))).toBe("image/png");
});
