import { expect, test } from "vitest";
import { className, describeLayer, randomOther } from "../src/layers";
import { LAYERS, layer } from "./fakes";

const names = Array.from({ length: 10 }, (_, i) => `class ${i}`);

test("class names are those of the last layer's units", () => {
  expect(className(LAYERS, names, "fc", 3)).toBe("class 3");
  expect(className(LAYERS, names, "conv2", 3)).toBeNull();
  expect(className(LAYERS, [], "fc", 3)).toBeNull();
  expect(className(LAYERS, names.slice(1), "fc", 3)).toBeNull();
});

test("layers after the logits that keep their count share the names", () => {
  const layers = [layer("early", 10, 9), ...LAYERS, layer("softmax", 10, 1)];
  expect(className(layers, names, "softmax", 1)).toBe("class 1");
  expect(className(layers, names, "fc", 1)).toBe("class 1");
  expect(className(layers, names, "early", 1)).toBeNull();
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
