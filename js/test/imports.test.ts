// The order of the modules: the model layer knows no view, and no module imports itself round a circle, types included.
import { expect, test } from "vitest";

declare global {
  interface ImportMeta {
    /** Vite's: the files that match, here with their source. */
    glob(pattern: string, options: object): Record<string, string>;
  }
}

const sources = import.meta.glob("../src/**/*.ts", { query: "?raw", import: "default", eager: true });
const PREFIX = "../src/";
const files = Object.keys(sources).map((path) => path.slice(PREFIX.length));

/** The modules that a module imports, types included, as paths below src. */
function importsOf(file: string): string[] {
  const base = new URL(file, "file:///");
  return [...(sources[PREFIX + file] ?? "").matchAll(/(?:from |import\()"(\.[^"]+)"/g)].map(
    ([, path = ""]) => `${new URL(path, base).pathname.slice(1)}.ts`,
  );
}

const graph = new Map(files.map((file) => [file, importsOf(file)]));

test("every import names a module", () => {
  for (const [file, imports] of graph) for (const each of imports) expect(files, file).toContain(each);
});

test("no module imports itself round a circle", () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    expect(path, `circle: ${[...path, file].join(" -> ")}`).not.toContain(file);
    if (done.has(file)) return;
    for (const each of graph.get(file) ?? []) visit(each, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

test("client, host and stores import no view", () => {
  const model = files.filter((file) => /^(client\.ts|topics\.ts|host\/|stores\/)/.test(file));
  for (const file of model) {
    for (const each of graph.get(file) ?? []) expect(each, file).not.toMatch(/^(ui|panels|sheet|lazy|page)\//);
  }
});
