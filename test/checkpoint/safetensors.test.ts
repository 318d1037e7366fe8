import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  readSafetensors,
  replaceFile,
  replaceFolder,
  settledFolder,
  writeSafetensors,
} from "../../src/checkpoint/files.js";
import { parseSafetensors, safetensorsBytes } from "../../src/checkpoint/safetensors.js";
import { memorySource } from "../../src/checkpoint/source.js";
import { readTensor } from "../../src/checkpoint/storage.js";
import { DiptychError } from "../../src/errors.js";
import { hasShared, shared } from "../goldens.js";

const joined = (pieces: Iterable<Uint8Array>) =>
  new Uint8Array(Buffer.concat([...pieces].map((p) => Uint8Array.from(p))));
const parse = (bytes: Uint8Array) => parseSafetensors(memorySource("x.safetensors", bytes));

/** A file with this header text and so many bytes of numbers. */
function fileOf(header: unknown, numbers: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + numbers);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (from: number, to: number, shape = [(to - from) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [from, to],
});
const problemOf = (bytes: Uint8Array) =>
  parse(bytes).then(
    () => "read",
    (e: DiptychError) => e.problem,
  );

describe("safetensors", () => {
  test("what is written is read again, in float32 exactly", async () => {
    const tensor = fc.record({
      name: fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__" && name !== "__proto__"),
      data: fc.float32Array({ maxLength: 20, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(tensor, { selector: (t) => t.name }), async (list) => {
        const tensors = list.map(({ name, data }) => ({ name, shape: [1, data.length], data }));
        const { tensors: stored, metadata } = await parse(joined(safetensorsBytes(tensors, { metadata: { a: "b" } })));
        const read = await Promise.all(stored.map(readTensor));
        const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
        expect(read.sort(byName)).toEqual([...tensors].sort(byName));
        expect(metadata).toEqual({ format: "pt", a: "b" });
      }),
      { numRuns: 50 },
    );
  });

  test("a number beyond half precision's range is refused, not stored as infinity", () => {
    const tensors = [{ name: "w", shape: [2], data: Float32Array.of(1, 70000) }];
    expect(() => joined(safetensorsBytes(tensors, { dtype: "F16" }))).toThrow("Tensor w holds 70000");
  });

  test.each([
    ["a truncated length", Uint8Array.of(1, 2, 3), "asks for bytes 0 to 8"],
    ["a header beyond the file", fileOf("{}", 0).fill(200, 0, 1), "asks for bytes 8 to 208"],
    ["an absurd header", fileOf("{}", 0).fill(255, 0, 8), "claims a header of"],
    ["text that is not JSON", fileOf("{a}", 0), "is not JSON"],
    ["a list as header", fileOf("[]", 0), "The header of x.safetensors"],
    [
      "a name twice",
      fileOf(`{"a":${JSON.stringify(entry(0, 4))},"\\u0061":${JSON.stringify(entry(0, 4))}}`, 4),
      'name "a" twice',
    ],
    [
      "a field twice",
      fileOf('{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}', 4),
      'name "dtype" twice',
    ],
    ["overlapping tensors", fileOf({ a: entry(0, 8), b: entry(4, 12) }, 12), "gap or an overlap before tensor b"],
    ["a gap", fileOf({ a: entry(0, 4), b: entry(8, 12) }, 12), "gap or an overlap before tensor b"],
    ["a size that is not the shape's", fileOf({ a: entry(0, 8, [3]) }, 8), "shape [3] needs 12"],
    ["numbers cut short", fileOf({ a: entry(0, 8) }, 4), "its header describes"],
    ["numbers left over", fileOf({ a: entry(0, 8) }, 9), "its header describes"],
    ["a product beyond 2^53", fileOf({ a: entry(0, 8, [2 ** 40, 2 ** 40]) }, 8), "needs"],
    ["a negative size", fileOf({ a: entry(0, 8, [-1, -2]) }, 8), "tensor a, entry shape.0"],
    ["an unknown number format", fileOf({ a: { ...entry(0, 8), dtype: "F8_E4M3" } }, 8), "as F8_E4M3"],
    ["an unknown field", fileOf({ a: { ...entry(0, 8), shap: [] } }, 8), "sets shap"],
    ["metadata that is not text", fileOf({ __metadata__: { a: 1 } }, 0), "__metadata__"],
  ])("%s is refused with its reason", async (_, bytes, reason) => {
    expect(await problemOf(bytes)).toContain(reason);
  });

  test("random bytes and damaged files end in a DiptychError or a valid file, never in anything else", async () => {
    const good = joined(safetensorsBytes([{ name: "a", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }]));
    const damaged = fc
      .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 })
      .map((edits) => edits.reduce((bytes, [at, value]) => bytes.fill(value, at, at + 1), good.slice()));
    const cut = fc.nat(good.length).map((length) => good.slice(0, length));
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged, cut), async (bytes) => {
        await parse(bytes)
          .then(({ tensors }) => Promise.all(tensors.map(readTensor)))
          .catch((error) => expect(error).toBeInstanceOf(DiptychError));
      }),
      { numRuns: 1000 },
    );
  });
});

describe.skipIf(!hasShared)("the reference's safetensors", () => {
  test("float32, half and bfloat16 copies hold the same numbers", async () => {
    const model = (kind: string) =>
      readSafetensors(shared(`goldens/models/vit-gelu/vit-gelu.openclip${kind}.safetensors`));
    const full = await model("");
    const bytes = (tensors: typeof full.tensors) =>
      Buffer.concat(tensors.map(({ data }) => new Uint8Array(data.buffer)));
    for (const kind of [".fp16", ".bf16"]) {
      const { tensors } = await model(kind);
      expect(tensors.map(({ name, shape }) => [name, shape])).toEqual(
        full.tensors.map(({ name, shape }) => [name, shape]),
      );
      expect(bytes(tensors).equals(bytes(full.tensors))).toBe(true);
    }
    expect(full.tensors).toHaveLength(74);
  });
});

describe("saving", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const tensors = [{ name: "a", shape: [2], data: Float32Array.of(1, 2) }];
  function* diskFull(): Generator<Uint8Array> {
    yield new Uint8Array(10);
    throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  }

  test("a full disk leaves the old file and nothing beside it", async () => {
    const file = path.join(folder, "a.safetensors");
    await writeSafetensors(file, tensors);
    const before = await readFile(file);
    await expect(replaceFile(file, diskFull())).rejects.toThrow("no space left on device");
    expect(await readFile(file)).toEqual(before);
    expect(await readdir(folder)).toEqual(["a.safetensors"]);
    expect((await readSafetensors(file)).tensors).toEqual(tensors);
  });

  test("a folder is replaced whole, and what was not ours moves along", async () => {
    const target = path.join(folder, "model");
    await replaceFolder(target, new Set(["x"]), (beside) => writeFile(path.join(beside, "x"), "old"));
    await writeFile(path.join(target, "README.md"), "mine");
    await replaceFolder(target, new Set(["x", "y"]), (beside) => writeFile(path.join(beside, "y"), "new"));
    expect((await readdir(target)).sort()).toEqual(["README.md", "y"]);
    const failing = replaceFolder(target, new Set(["x", "y"]), (beside) =>
      replaceFile(path.join(beside, "y"), diskFull()),
    );
    await expect(failing).rejects.toThrow(DiptychError);
    expect(await readFile(path.join(target, "y"), "utf8")).toBe("new");
    expect((await readdir(folder)).filter((name) => name.startsWith("model"))).toEqual(["model"]);
  });

  test("a save interrupted between its two renames is found again, and the next save heals it", async () => {
    const target = path.join(folder, "run");
    await replaceFolder(`${target}.old`, new Set(), (beside) => writeFile(path.join(beside, "x"), "old"));
    expect(await settledFolder(target)).toBe(`${target}.old`);
    await replaceFolder(target, new Set(["x"]), (beside) => writeFile(path.join(beside, "x"), "new"));
    expect(await settledFolder(target)).toBe(target);
    expect((await readdir(folder)).filter((name) => name.startsWith("run"))).toEqual(["run"]);
  });
});
