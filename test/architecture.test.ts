/**
 * @file Holds the house together: which room of `src/` may import which, only through its face, and which modules
 * must run in a browser as they are. The tables below are the rule; ARCHITECTURE.md explains it.
 * Leaves out: what a bundler sees better (see `test/browser/`).
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";

/** Room → the rooms it may import. Only rooms that stand higher: the table has no cycles. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  graph: [],
  runtime: ["graph"],
  clip: ["graph"],
  tokenizer: [],
  image: [],
  checkpoint: ["graph", "clip", "tokenizer", "image"],
  data: ["tokenizer", "image", "checkpoint"],
  tasks: ["graph", "runtime", "clip", "tokenizer", "image", "checkpoint", "data"],
  train: ["graph", "runtime", "clip", "tokenizer", "image", "checkpoint", "data", "tasks"],
  report: [],
  cli: ["graph", "runtime", "clip", "tokenizer", "image", "checkpoint", "data", "train", "tasks", "report"],
};

/** What one room may import of another: `index` everywhere, `node` and `web` where a platform is bound. */
const faces = ["index.ts", "node.ts", "web.ts"];

/** Files of `src/` itself: the doors import any room's face, `errors.ts` nothing. */
const doors = ["index.ts", "node.ts", "browser.ts"];

/** Modules that run in a browser, with everything they import. `web.ts` of every room belongs to them too. */
const browserRoots = ["browser.ts", "graph/index.ts", "clip/index.ts", "tokenizer/index.ts", "image/index.ts"];
const browserPackages = ["zod", "onnxruntime-web", "@huggingface/tokenizers"];
const nodeGlobals =
  /\bBuffer\.(?:from|alloc|allocUnsafe|concat|byteLength)\b|\bprocess\.[a-z]+\b|\b__dirname\b|\brequire\(/;

interface Import {
  /** As written. */
  readonly specifier: string;
  /** Path below `src/` when it is relative, else undefined. */
  readonly file?: string;
  /** `import type`: gone at run time. */
  readonly erased: boolean;
}

/** Sources by path below `src/`, with `/`. */
type Sources = ReadonlyMap<string, string>;

const withoutComments = (source: string): string => source.replace(/^[ \t]*(?:\/\*[\s\S]*?\*\/|\/\/.*)/gm, "");

/** Static and dynamic imports, re-exports, and worker files named by `new URL("./…", import.meta.url)`. */
function importsOf(file: string, source: string): Import[] {
  const patterns = [
    /^[ \t]*(?:import|export)\b(?<type>\s+type\b)?(?:[^;"']*?\bfrom)?\s*["'](?<specifier>[^"']+)["']/gm,
    /(?<type>typeof\s+)?\bimport\(\s*["'](?<specifier>[^"']+)["']/g,
    /new URL\(\s*["'](?<specifier>\.[^"']+\.[jt]s)["'],\s*import\.meta\.url/g,
  ];
  const text = withoutComments(source);
  return patterns.flatMap((pattern) =>
    [...text.matchAll(pattern)].map(({ groups }) => {
      const specifier = groups!.specifier!;
      const erased = groups!.type !== undefined;
      if (!specifier.startsWith(".")) return { specifier, erased };
      const target = path.posix.join(path.posix.dirname(file), specifier).replace(/\.js$/, ".ts");
      return { specifier, erased, file: target };
    }),
  );
}

const roomOf = (file: string): string | undefined => (file.includes("/") ? file.split("/")[0] : undefined);
const isFace = (file: string): boolean => file.split("/").length === 2 && faces.includes(path.posix.basename(file));

function judgeImport(from: string, { specifier, file: to }: Import): string | undefined {
  if (to === undefined || to === "errors.ts") return undefined;
  if (to.startsWith("../")) return `${from} imports ${specifier}, which lies outside src/.`;
  const room = roomOf(from);
  const target = roomOf(to);
  if (target === undefined) {
    return doors.includes(from) ? undefined : `${from} imports ${specifier}: rooms never import a door of src/.`;
  }
  if (target === room) return undefined;
  if (room === undefined && !doors.includes(from)) return `${from} imports ${specifier}: it may import nothing.`;
  if (room !== undefined && !mayImport[room]!.includes(target)) {
    const allowed = mayImport[room]!.join(", ") || "no other room";
    return `${from} imports ${specifier}: ${room} may not import ${target} (allowed: ${allowed}).`;
  }
  if (!isFace(to)) return `${from} imports ${specifier}: reach ${target} through its face (${faces.join(", ")}).`;
  return undefined;
}

/** Every breach of the table, one sentence each. */
function roomBreaches(sources: Sources): string[] {
  return [...sources].flatMap(([file, source]) => {
    const room = roomOf(file);
    if (room !== undefined && !(room in mayImport)) return [`${file} lies in "${room}", which is not in the table.`];
    if (room === undefined && ![...doors, "errors.ts"].includes(file)) return [`${file} is neither a door nor a room.`];
    return importsOf(file, source)
      .map((each) => judgeImport(file, each))
      .filter((breach) => breach !== undefined);
  });
}

/** Everything in the closure of the browser's roots that a browser does not have, with the way there. */
function browserBreaches(sources: Sources): string[] {
  const roots = [...browserRoots, ...[...sources.keys()].filter((file) => file.endsWith("/web.ts"))];
  const ways = new Map<string, string>();
  const visit = (file: string, way: string): string[] => {
    const source = sources.get(file);
    if (source === undefined || ways.has(file)) return [];
    ways.set(file, way);
    const global = nodeGlobals.exec(withoutComments(source));
    const own = global ? [`${way} uses ${global[0]}, which a browser lacks.`] : [];
    const next = importsOf(file, source).flatMap((each) => {
      if (each.erased) return [];
      if (each.file !== undefined) return visit(each.file, `${way} → ${each.file}`);
      const name = each.specifier;
      const known = browserPackages.some((known) => name === known || name.startsWith(`${known}/`));
      return known ? [] : [`${way} imports ${name}, which a browser lacks.`];
    });
    return [...own, ...next];
  };
  return roots.flatMap((root) => visit(root, root));
}

const src = path.resolve(import.meta.dirname, "../src");
const written: Sources = new Map(
  readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => [file.replaceAll(path.sep, "/"), readFileSync(path.join(src, file), "utf8")]),
);

describe("the source as written", () => {
  test("rooms import only rooms above them, through their faces", () => {
    expect(roomBreaches(written)).toEqual([]);
  });

  test("what a browser loads needs nothing of Node", () => {
    expect(browserBreaches(written)).toEqual([]);
  });

  test("what is imported at run time is a dependency, not only installed for development", () => {
    const { dependencies, optionalDependencies, peerDependencies } = JSON.parse(
      readFileSync(path.join(src, "../package.json"), "utf8"),
    );
    const brought = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
    const missing = [...written].flatMap(([from, source]) =>
      importsOf(from, source)
        .filter(({ file, erased, specifier }) => file === undefined && !erased && !specifier.startsWith("node:"))
        .filter(({ specifier }) => !brought.some((name) => specifier === name || specifier.startsWith(`${name}/`)))
        .map(({ specifier }) => `${from} imports ${specifier}`),
    );
    expect(missing).toEqual([]);
  });
});

describe("the rules themselves", () => {
  const breaches = (file: string, source: string) => roomBreaches(new Map([[file, source]]));

  test.each([
    ["graph/a.ts", 'import { ViT } from "../clip/index.js";', "graph may not import clip"],
    ["tasks/a.ts", 'export type {\n  Run,\n} from "../train/index.js";', "tasks may not import train"],
    ["clip/a.ts", 'const g = await import("../graph/tensor.js");', "through its face"],
    ["train/a.ts", 'import { x } from "../index.js";', "never import a door"],
    ["data/a.ts", 'new Worker(new URL("../image/worker.js", import.meta.url));', "through its face"],
    ["utils/a.ts", "", "not in the table"],
    ["misc.ts", "", "neither a door nor a room"],
  ])("%s with `%s` is refused", (file, source, reason) => {
    expect(breaches(file, source)).toEqual([expect.stringContaining(reason)]);
  });

  test("own files, faces of rooms above, errors.ts and comments pass", () => {
    const source = [
      'import { b } from "./deep/b.js";',
      'import type { Tensor } from "../graph/index.js";',
      'import { cpu } from "../runtime/node.js";',
      'import { DiptychError } from "../errors.js";',
      '/** import { main } from "../cli/main.js"; */',
      '// import { main } from "../cli/main.js";',
    ].join("\n");
    expect(breaches("train/a.ts", source)).toEqual([]);
  });

  test("a Node import deep in the browser's closure is found, with the way there", () => {
    const sources = new Map([
      ["image/index.ts", 'export { crop } from "./crop.js";'],
      ["image/crop.ts", 'import type { Stats } from "node:fs";\nimport sharp from "sharp";\nBuffer.from("a");'],
    ]);
    expect(browserBreaches(sources)).toEqual([
      "image/index.ts → image/crop.ts uses Buffer.from, which a browser lacks.",
      "image/index.ts → image/crop.ts imports sharp, which a browser lacks.",
    ]);
  });
});
