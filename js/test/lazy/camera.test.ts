import { expect, test } from "vitest";
import { cameraProblem } from "../../src/lazy/camera";

test("why there is no picture of a camera is said by its true cause", () => {
  const raised = (name: string) => Object.assign(new Error("no"), { name });
  for (const [name, words] of [
    ["NotAllowedError", /did not let this page/],
    ["SecurityError", /did not let this page/],
    ["NotFoundError", /No camera was found/],
    ["NotReadableError", /another program/],
    ["AbortError", /another program/],
    ["TypeError", /could not be used \(TypeError: no\)/],
  ] as const) {
    expect(cameraProblem(raised(name), true)).toMatch(words);
  }
  expect(cameraProblem(raised("TypeError"), false)).toMatch(/https/);
});
