import { expect, test } from "vitest";
import { className, randomOther } from "../src/layers";
import { describeLayer } from "../src/lazy/details";
import { LAYERS, layer } from "./fakes";

const names = Array.from({ length: 10 }, (_, i) => `class ${i}`);

test("the units of the layers that the kernel calls named have the names of classes", () => {
  const [conv, , fc] = LAYERS;
  expect(className(fc, names, 3)).toBe("class 3");
  expect(className(fc, names, 10)).toBeNull();
  expect(className(conv, names, 3)).toBeNull();
  expect(className(undefined, names, 3)).toBeNull();
});

test("a random other number is in range and never the same", () => {
  const seen = new Set<number>();
  for (let i = 0; i < 500; i += 1) seen.add(randomOther(5, 2));
  expect([...seen].sort()).toEqual([0, 1, 3, 4]);
  expect(randomOther(1, 0)).toBe(0);
});

test("a layer is described by what matters for reading its pictures", () => {
  const words = describeLayer(layer("conv", 64, 28))
    .join(" ")
    .replace(/\u00a0/g, " ");
  expect(words).toBe("Conv2d 64 units feature map 28 × 28 receptive field 7 × 7 px stride 2 px");
  expect(describeLayer({ ...layer("fc", 1, 1), receptive_field: null, stride: null })).toEqual(["Conv2d", "1 unit"]);
  expect(describeLayer(undefined)).toEqual([]);
});
