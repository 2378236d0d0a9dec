// Builds the front end into the Python package: one ES module and one style sheet; and as many again for the contact
// sheet, which a page gets when it opens it; and for the page that a sheet is written to.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = join(here, "..", "peek_widget", "static");

// Every saved widget state carries both files of the widget, so that growth must be a decision and not an accident.
const LIMIT = 60 * 1024;
const LIMIT_LATER = 24_000;
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
  mangleProps: new RegExp(`^(${[...namesOfTexts(), ...privateNames()].join("|")})$`),
  // The first versions that know light-dark() and container queries.
  target: ["es2022", "chrome123", "firefox120", "safari17.5"],
  metafile: true,
};

/** @type {esbuild.BuildOptions} */
const later = {
  ...options,
  entryPoints: [
    { in: "src/sheet/index.ts", out: "sheet" },
    { in: "src/sheet/sheet.css", out: "sheet" },
  ],
  mangleProps: undefined,
};

/** @type {esbuild.BuildOptions} */
const page = {
  ...options,
  entryPoints: [
    { in: "src/page/index.ts", out: "page" },
    { in: "src/page/page.css", out: "page" },
  ],
  mangleProps: undefined,
};

mkdirSync(outdir, { recursive: true });

if (process.argv.includes("--watch")) {
  for (const each of [options, later, page]) {
    const context = await esbuild.context({ ...each, minify: false, logLevel: "info" });
    await context.watch();
  }
} else {
  const built = [await esbuild.build(options), await esbuild.build(later), await esbuild.build(page)];
  shorten(["widget.css", "sheet.css"].map((file) => join(outdir, file)));
  shortenClasses(["widget", "sheet"]);
  [LIMIT, LIMIT_LATER, LIMIT_PAGE].forEach((limit, at) => {
    let total = 0;
    for (const file of Object.keys(built[at].metafile.outputs)) {
      const bytes = readFileSync(join(here, file)).length;
      console.log(`${file.split("/").pop()}  ${bytes} bytes`);
      total += bytes;
    }
    if (total > limit) {
      console.error(`These two have ${total} bytes, more than the ${limit} they may have.`);
      process.exitCode = 1;
    }
  });
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

/**
 * Custom properties are for those who write the styles: lengths are put in, and colours get short names, the same ones
 * in all the files.
 */
function shorten(paths) {
  const styles = paths.map((path) => readFileSync(path, "utf8"));
  const lengths = [...styles.join("").matchAll(/(--peek-[a-z0-9-]+): ?([0-9]+px);/g)];
  const names = new Set();
  paths.forEach((path, at) => {
    let style = styles[at];
    for (const [definition, name, length] of lengths) {
      style = style.replaceAll(definition, "").replaceAll(`var(${name})`, length);
    }
    const short = (name) => `--p${[...names.add(name)].indexOf(name).toString(36)}`;
    writeFileSync(path, style.replace(/--peek-[a-z0-9-]+/g, short));
  });
}

/** Classes get short names, the same ones in all the files, but for those that somebody outside may look for. */
function shortenClasses(bundles) {
  const kept = new RegExp(
    "^peek-(root|ask|canvas|crop|crop-activation|crop-label|crops|error|footer|gauge|gauge-text|help|hint|keep|knobs|label|" +
      "large|large-name|mark-drawn|map|pair|pass|picture|real|recipe-button|recipe-list|section|status|(sheet|tile|word|shot).*)$",
  );
  const name = /peek-[a-z0-9-]+/g;
  const inStyles = /(?<=\.)peek-[a-z0-9-]+/g;
  const read = (ending) => bundles.map((one) => readFileSync(join(outdir, `${one}.${ending}`), "utf8"));
  const [styles, scripts] = [read("css"), read("js")];
  // The beginnings of names that the scripts put together.
  const begun = [...new Set(scripts.join("").match(name))].filter((one) => one.endsWith("-"));
  const names = [...new Set(styles.join("").match(inStyles))].filter(
    (one) => !kept.test(one) && !begun.some((begin) => one.startsWith(begin)),
  );
  const short = (one) => (names.includes(one) ? `_${names.indexOf(one).toString(36)}` : one);
  bundles.forEach((one, at) => {
    writeFileSync(join(outdir, `${one}.css`), styles[at].replace(inStyles, short));
    writeFileSync(join(outdir, `${one}.js`), scripts[at].replace(name, short));
  });
}
