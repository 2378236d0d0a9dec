// Builds the page with the fake model: node dev/build.mjs, then open dev/index.html from a local server.
import * as esbuild from "esbuild";

await esbuild.build({
  entryPoints: [
    { in: "dev/fake.ts", out: "fake" },
    { in: "src/widget.css", out: "widget" },
  ],
  outdir: "dev/build",
  bundle: true,
  format: "esm",
});
