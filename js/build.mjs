// Builds the front end into the Python package: one ES module, one style sheet.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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
  mangleProps: new RegExp(`^(${[...namesOfTexts(), ...privateNames()].join("|")})$`),
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
  shorten(join(outdir, "widget.css"));
  let total = 0;
  for (const file of Object.keys(metafile.outputs)) {
    const bytes = readFileSync(join(here, file)).length;
    console.log(`${file.split("/").pop()}  ${bytes} bytes`);
    total += bytes;
  }
  if (total > LIMIT) {
    console.error(`The bundle has ${total} bytes, more than the ${LIMIT} it may have.`);
    process.exit(1);
  }
}

/** The keys of `text` that nothing else in the front end is called, which can have shorter ones. */
function namesOfTexts() {
  const source = (file) => readFileSync(join(here, "src", file), "utf8");
  const others = readdirSync(join(here, "src")).filter((file) => file.endsWith(".ts") && file !== "text.ts");
  const words = others
    .map(source)
    .join("\n")
    .replaceAll(/\btext\.\w+/g, "");
  const used = new Set([...words.matchAll(/\w+/g), ...source("text.ts").matchAll(/(?<=\.)\w+/g)].map(String));
  const keys = [...source("text.ts").matchAll(/^ {2}(\w+):/gm)].map((match) => match[1]);
  return keys.filter((key) => !used.has(key));
}

/** What is private and never said but after `this.`: nothing outside can mean it. */
function privateNames() {
  const files = readdirSync(join(here, "src")).filter((file) => file.endsWith(".ts"));
  const source = files.map((file) => readFileSync(join(here, "src", file), "utf8")).join("\n");
  const names = new Set([...source.matchAll(/\bprivate (?:readonly |async )?(\w+)/g)].map((match) => match[1]));
  const elsewhere = new Set(source.match(/(?<!this\.|private |private readonly |private async |\w)\w+/g));
  return [...names].filter((name) => !elsewhere.has(name));
}

/** Custom properties are for those who write the styles: lengths are put in, and colours get short names. */
function shorten(path) {
  let style = readFileSync(path, "utf8");
  for (const [definition, name, length] of style.matchAll(/(--peek-[a-z0-9-]+): ?([0-9]+px);/g)) {
    style = style.replaceAll(definition, "").replaceAll(`var(${name})`, length);
  }
  const names = [...new Set(style.match(/--peek-[a-z0-9-]+/g))];
  writeFileSync(
    path,
    style.replace(/--peek-[a-z0-9-]+/g, (name) => `--p${names.indexOf(name).toString(36)}`),
  );
}
