// Builds the front end into the Python package, each bundle one ES module and one style sheet: the widget, the panels
// that are loaded lazily, and the static page of a contact sheet.
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = join(here, "..", "peek_widget", "static");

// Every saved widget state carries both files of the widget, so that growth must be a decision and not an accident. What
// not everybody opens is loaded lazily, and has a larger limit. (tests/test_front_end.py reads the first from here.)
const LIMIT = 60 * 1024;
const LIMIT_LAZY = 100_000;
const LIMIT_PAGE = 24_000;

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

/** @type {esbuild.BuildOptions} */
const lazy = {
  ...options,
  entryPoints: [
    { in: "src/lazy/index.ts", out: "lazy" },
    { in: "src/lazy/lazy.css", out: "lazy" },
  ],
};

/** @type {esbuild.BuildOptions} */
const page = {
  ...options,
  entryPoints: [
    { in: "src/page/index.ts", out: "page" },
    { in: "src/page/page.css", out: "page" },
  ],
};

mkdirSync(outdir, { recursive: true });

if (process.argv.includes("--watch")) {
  for (const each of [options, lazy, page]) {
    const context = await esbuild.context({ ...each, minify: false, logLevel: "info" });
    await context.watch();
  }
} else {
  const built = [await esbuild.build(options), await esbuild.build(lazy), await esbuild.build(page)];
  [LIMIT, LIMIT_LAZY, LIMIT_PAGE].forEach((limit, at) => {
    let total = 0;
    for (const file of Object.keys(built[at].metafile.outputs)) {
      const bytes = readFileSync(join(here, file)).length;
      console.log(`${file.split("/").pop()}  ${bytes} bytes`);
      total += bytes;
    }
    if (total > limit) {
      console.error(`This bundle has ${total} bytes, more than its limit of ${limit}.`);
      process.exitCode = 1;
    }
  });
}
