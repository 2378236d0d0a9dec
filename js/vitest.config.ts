import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "jsdom",
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.mjs"],
    restoreMocks: true,
    unstubGlobals: true,
    // Files share a page: making a jsdom for each takes three times as long as all tests. None keeps state in a module.
    pool: "threads",
    isolate: false,
    // A test that hangs must end; how quick the machine is today must not matter.
    testTimeout: 60_000,
  },
});
