import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "jsdom",
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.mjs"],
    restoreMocks: true,
    unstubGlobals: true,
    // A test that hangs must end; how quick the machine is today must not matter.
    testTimeout: 60_000,
  },
});
