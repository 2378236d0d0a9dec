// Names with dots, as of modules, as a tree of which parts are folded.

/** A row of the tree: a name that can be chosen, a module that only holds others, or both. */
export interface TreeRow {
  /** The whole name, and what of it is not in the row above. */
  path: string;
  label: string;
  level: number;
  /** Number of the name; -1 for a row that cannot be chosen. */
  at: number;
  folder: boolean;
}

interface Node {
  path: string;
  label: string;
  at: number;
  children: Map<string, Node>;
}

/** Up to this many rows nothing is folded at first. */
const FEW = 24;

const node = (path: string, label: string): Node => ({ path, label, at: -1, children: new Map() });

function grow(names: readonly string[]): Node {
  const root = node("", "");
  names.forEach((name, at) => {
    let now = root;
    const parts = name.split(".");
    parts.forEach((part, depth) => {
      const next = now.children.get(part) ?? node(parts.slice(0, depth + 1).join("."), part);
      now.children.set(part, next);
      now = next;
    });
    now.at = at;
  });
  return root;
}

/** The rows of the names, in the order of a walk through the tree; a module that only holds one other is part of it. */
export function treeOf(names: readonly string[]): TreeRow[] {
  const rows: TreeRow[] = [];
  const walk = (parent: Node, level: number, before: string): void => {
    for (const child of parent.children.values()) {
      const [only] = child.children.values();
      if (child.at < 0 && only && child.children.size === 1) {
        walk({ ...child, children: child.children }, level, `${before}${child.label}.`);
        continue;
      }
      const { path, label, at, children } = child;
      rows.push({ path, label: before + label, level, at, folder: children.size > 0 });
      walk(child, level + 1, "");
    }
  };
  walk(grow(names), 1, "");
  return rows;
}

const isBelow = (path: string, folder: string): boolean => path.startsWith(`${folder}.`);

/** The folders that are open at first: all of few rows, and otherwise those round the current name. */
export function unfoldedFor(rows: readonly TreeRow[], current: string): Set<string> {
  const folders = rows.filter(({ folder }) => folder);
  return new Set(folders.filter(({ path }) => rows.length <= FEW || isBelow(current, path)).map(({ path }) => path));
}

/** The rows that are not inside a folded one. */
export function shownRows(rows: readonly TreeRow[], unfolded: ReadonlySet<string>): TreeRow[] {
  let folded: string | null = null;
  return rows.filter((row) => {
    if (folded !== null && isBelow(row.path, folded)) return false;
    folded = row.folder && !unfolded.has(row.path) ? row.path : null;
    return true;
  });
}

/** Shortened in the middle: names of modules differ at their ends. */
export function shorten(name: string, most = 32): string {
  if (name.length <= most) return name;
  const tail = Math.ceil((most - 1) * 0.6);
  return `${name.slice(0, most - 1 - tail)}…${name.slice(-tail)}`;
}

/** The name nearest to what was typed, by the number of letters to change; undefined where none is near. */
export function nearestName(names: readonly string[], typed: string): string | undefined {
  const most = Math.max(1, Math.ceil(typed.length / 3));
  let best: string | undefined;
  let least = most + 1;
  for (const name of names.slice(0, 2000)) {
    if (Math.abs(name.length - typed.length) >= least) continue;
    const far = distance(name.toLowerCase(), typed.toLowerCase());
    if (far < least) [best, least] = [name, far];
  }
  return best;
}

/** Levenshtein's distance. */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
