// Builds the page with the fake model: node dev/build.mjs, then open dev/index.html from a local server.
import * as esbuild from "esbuild";

await esbuild.build({
  entryPoints: [
    { in: "dev/fake.ts", out: "fake" },
    { in: "src/widget.css", out: "widget" },
    { in: "src/lazy/index.ts", out: "lazy" },
    { in: "src/lazy/lazy.css", out: "lazy" },
  ],
  outdir: "dev/build",
  bundle: true,
  format: "esm",
});
