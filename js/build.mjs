// Builds the front end into the Python package: one ES module, one style sheet.
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = join(here, "..", "peek_widget", "static");

// Every saved widget state carries both files, so that growth must be a decision and not an accident.
const LIMIT = 60_000;

/** @type {esbuild.BuildOptions} */
const options = {
  absWorkingDir: here,
  entryPoints: [
    { in: "src/index.ts", out: "widget" },
    { in: "src/widget.css", out: "widget" },
  ],
  outdir,
  bundle: true,
  format: "esm",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  // The first versions that know light-dark() and container queries.
  target: ["es2022", "chrome123", "firefox120", "safari17.5"],
  metafile: true,
};

mkdirSync(outdir, { recursive: true });

if (process.argv.includes("--watch")) {
  const context = await esbuild.context({ ...options, minify: false, logLevel: "info" });
  await context.watch();
} else {
  const { metafile } = await esbuild.build(options);
  let total = 0;
  for (const [file, { bytes }] of Object.entries(metafile.outputs)) {
    console.log(`${file.split("/").pop()}  ${bytes} bytes`);
    total += bytes;
  }
  if (total > LIMIT) {
    console.error(`The bundle has ${total} bytes, more than the ${LIMIT} it may have.`);
    process.exit(1);
  }
}
