import { afterEach, expect, test, vi } from "vitest";
import { Decoder, mimeType } from "../src/decode";
import { installScreen, settle } from "./host";

const jpeg = new Uint8Array([0xff, 0xd8, 0xff, 1]);

interface Task {
  id: number;
  bytes: Uint8Array;
}

/** A page with WebCodecs and workers; the workers answer when the test says so. */
function installWorkers(make: () => void = () => undefined) {
  const workers: FakeWorker[] = [];
  class FakeWorker {
    readonly tasks: Task[] = [];
    ended = false;
    onmessage: (event: { data: unknown }) => void = () => undefined;
    onerror: () => void = () => undefined;
    constructor() {
      make();
      workers.push(this);
    }
    postMessage(task: Task, transfer: Transferable[]): void {
      this.tasks.push(structuredClone(task, { transfer }));
    }
    terminate(): void {
      this.ended = true;
    }
    tell(task: Task | undefined, picture: unknown): void {
      this.onmessage({ data: { id: task?.id, picture } });
    }
  }
  vi.stubGlobal("ImageDecoder", class {});
  vi.stubGlobal("Worker", FakeWorker);
  URL.createObjectURL = () => "blob:";
  URL.revokeObjectURL = () => undefined;
  return workers;
}

afterEach(() => vi.unstubAllGlobals());

test("a worker decodes, several at once in any order, and gets a copy: the bytes are the model's", async () => {
  const screen = installScreen();
  const workers = installWorkers();
  const decoder = new Decoder();
  const both = [decoder.decode(jpeg), decoder.decode(jpeg)];
  await settle();
  const [worker] = workers;
  expect(workers).toHaveLength(1);
  expect([...(worker?.tasks[0]?.bytes ?? [])]).toEqual([...jpeg]);
  expect(jpeg).toHaveLength(4);
  worker?.tell(worker.tasks[1], "second");
  worker?.tell(worker.tasks[0], "first");
  expect(await Promise.all(both)).toEqual(["first", "second"]);
  expect(screen.decodes).toBe(0);
  decoder.end();
  expect(worker?.ended).toBe(true);
});

test("where a worker can't be made, or breaks, pictures are decoded without one from then on", async () => {
  const screen = installScreen();
  let made = 0;
  installWorkers(() => {
    made += 1;
    throw new DOMException("The policy of this page forbids it.", "SecurityError");
  });
  const refused = new Decoder();
  expect(await refused.decode(jpeg)).toMatchObject({ width: 8 });
  expect(await refused.decode(jpeg)).toMatchObject({ width: 8 });
  expect(made).toBe(1);

  const workers = installWorkers();
  const broken = new Decoder();
  const first = broken.decode(jpeg);
  await settle();
  workers[0]?.onerror();
  expect(await first).toMatchObject({ width: 8 });
  expect(await broken.decode(jpeg)).toMatchObject({ width: 8 });
  expect(workers).toHaveLength(1);
  expect(workers[0]?.ended).toBe(true);
  expect(screen.decodes).toBe(4);
});

test("while nobody looks there is no worker, once it has done what it was given", async () => {
  installScreen();
  const workers = installWorkers();
  const decoder = new Decoder();
  const first = decoder.decode(jpeg);
  await settle();
  decoder.rest();
  expect(workers[0]?.ended).toBe(false);
  workers[0]?.tell(workers[0].tasks[0], "first");
  expect(await first).toBe("first");
  expect(workers[0]?.ended).toBe(true);
  const second = decoder.decode(jpeg);
  await settle();
  workers[1]?.tell(workers[1].tasks[0], "second");
  expect(await second).toBe("second");
  expect(workers[1]?.ended).toBe(false);
  decoder.rest();
  expect(workers[1]?.ended).toBe(true);
});

test("a file that nobody can decode is told of, and its worker goes on", async () => {
  installScreen(() => Promise.reject(new Error("bad data")));
  const workers = installWorkers();
  const decoder = new Decoder();
  const first = decoder.decode(jpeg);
  await settle();
  workers[0]?.tell(workers[0].tasks[0], null);
  await expect(first).rejects.toThrow("bad data");
  const second = decoder.decode(jpeg);
  await settle();
  workers[0]?.tell(workers[0].tasks[1], "second");
  expect(await second).toBe("second");
});

test("the first bytes say which kind of picture it is", () => {
  expect(mimeType(jpeg)).toBe("image/jpeg");
  expect(mimeType(new Uint8Array([0x89, 0x50, 0x4e, 0x47]))).toBe("image/png");
});
