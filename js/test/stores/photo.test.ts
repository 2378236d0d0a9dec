import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { PhotoSeen, PhotoStep, PhotoUnit, ToKernel } from "../../src/protocol.gen";
import { PhotoStore, pictureKey } from "../../src/stores/photo";
import { frame, installScreen, type Screen, settle } from "../fakes";

let screen: Screen;
let store: PhotoStore;
let sent: ToKernel[];

beforeEach(() => {
  screen = installScreen();
  sent = [];
  store = new PhotoStore(
    (message) => sent.push(message),
    () => undefined,
  );
});

afterEach(() => vi.unstubAllGlobals());

const unit = (number: number, map = true): PhotoUnit => ({
  unit: number,
  activation: 1,
  percentile: 99,
  label: "",
  tags: "",
  map,
});

function seen(units: readonly number[], more: Partial<PhotoSeen> = {}): PhotoSeen {
  return {
    kind: "photo",
    n: 1,
    state: "done",
    problem: "",
    text: "",
    width: 8,
    height: 8,
    shown: [0, 0, 1, 1],
    classes: [],
    note: "",
    layer: "a/b",
    units: units.map((each) => unit(each)),
    place: false,
    changed: false,
    picture: false,
    ...more,
  };
}

async function tell(message: object, pictures: number): Promise<void> {
  store.receive(
    message,
    Array.from({ length: pictures }, () => frame()),
  );
  await settle();
}

const picture = (number: number, problem = ""): object => ({
  kind: "photo_picture",
  layer: "a/b",
  unit: number,
  of: "drawn",
  problem,
});

function step(run: number, at: number): PhotoStep {
  return {
    kind: "photo_step",
    n: 1,
    run,
    layer: "a/b",
    unit: 3,
    less: false,
    strength: 5,
    step: at,
    total: 100,
    activation: at,
    mean: at / 2,
    percentile: 50,
    classes: [],
    problem: "",
  };
}

test("pictures of units are kept while these are listed, and those of others closed", async () => {
  await tell(seen([1, 2], { picture: true }), 3);
  await tell(picture(1), 1);
  await tell(picture(2, "It can't be drawn."), 0);
  expect(store.pictures.get(pictureKey("a/b", 2, "drawn"))).toBe("It can't be drawn.");
  expect(screen.bitmapsOpen).toBe(4); // the photo, two maps, one picture
  await tell(seen([1, 5]), 2);
  expect([...store.pictures.keys()]).toEqual([pictureKey("a/b", 1, "drawn")]);
  await tell(seen([1], { layer: "b" }), 1);
  expect(store.pictures.size).toBe(0);
  store.dispose();
  expect(screen.bitmapsOpen).toBe(0);
});

test("of an accentuation every stage is kept, in order, until another one, a change or another photo", async () => {
  await tell(seen([], { picture: true }), 1);
  for (const at of [0, 4, 8]) await tell(step(1, at), 1);
  expect(store.stages.map((one) => one.step)).toEqual([0, 4, 8]);
  await tell(step(2, 0), 1);
  expect(store.stages).toHaveLength(1);
  // a list of units alone leaves it
  await tell(seen([]), 0);
  expect(store.stages).toHaveLength(1);
  await tell(seen([], { changed: true }), 0);
  expect([store.stages.length, store.accentuated]).toEqual([0, null]);
  expect(screen.bitmapsOpen).toBe(1);
  store.accentuate(3, true, 2, true);
  expect(sent).toEqual([{ kind: "photo_accentuate", unit: 3, less: true, strength: 2, on: true }]);
});

test("a step that was on its way when the accentuation was ended comes too late", async () => {
  await tell(step(1, 0), 1);
  store.accentuate(3, true, 2, false);
  await tell(step(1, 4), 1);
  expect([store.stages.length, store.accentuated]).toEqual([0, null]);
  await tell(step(2, 0), 1);
  expect(store.stages).toHaveLength(1);
  // the kernel ends it at a change of the photo, also where that leaves the photo as it was
  store.edit("gray", false, []);
  expect([store.stages.length, store.accentuated]).toEqual([0, null]);
});

test("of a photo that is decoded late the picture is taken, and not what was listed with it", async () => {
  const first = tell(seen([1, 2], { picture: true }), 3);
  await tell(seen([5]), 1);
  await first;
  expect(store.seen?.units.map((each) => each.unit)).toEqual([5]);
  expect([store.maps.length, Boolean(store.picture), screen.bitmapsOpen]).toEqual([1, true, 2]);
  store.dispose();
  expect(screen.bitmapsOpen).toBe(0);
});

test("the maps of all layers go to the units that have one", async () => {
  const layers = [
    { layer: "a", real: false, units: [unit(1), unit(2, false)] },
    { layer: "b", real: true, units: [unit(3)] },
  ];
  await tell({ kind: "photo_layers", n: 1, layers }, 2);
  expect(store.layerMaps.map((maps) => maps.map(Boolean))).toEqual([[true, false], [true]]);

  // of two that are decoded at once the newer counts, and none of a photo that there is no more
  const older = tell({ kind: "photo_layers", n: 1, layers: layers.slice(0, 1) }, 1);
  await tell({ kind: "photo_layers", n: 1, layers: layers.slice(1) }, 1);
  await older;
  expect(store.layers.map(({ layer }) => layer)).toEqual(["b"]);
  await tell(seen([], { n: 2 }), 0);
  await tell({ kind: "photo_layers", n: 1, layers }, 2);
  expect([store.layers.map(({ layer }) => layer), screen.bitmapsOpen]).toEqual([[], 0]);
});
