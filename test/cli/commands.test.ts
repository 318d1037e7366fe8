import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSafetensors, saveCheckpoint } from "../../src/checkpoint/node.js";
import { tinyCheckpoint } from "../tasks/tiny.js";
import { diptych } from "./run.js";

let folder: string;
let model: readonly string[];
const at = (...parts: string[]): string => path.join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-cli-"));
  await saveCheckpoint(at("model"), tinyCheckpoint(64));
  model = ["--model", at("model")];
  await mkdir(at("pictures/deep"), { recursive: true });
  await mkdir(at("pictures/.hidden"));
  for (const [name, background] of [
    ["red.png", "#d22"],
    ["deep/blue.jpg", "#22d"],
    [".hidden/green.png", "#2d2"],
  ] as const) {
    await sharp({ create: { width: 60, height: 40, channels: 3, background } }).toFile(at("pictures", name));
  }
  await writeFile(at("pictures/broken.png"), "no picture");
  await writeFile(at("pictures/notes.txt"), "no picture, and not called one");
});
afterAll(() => rm(folder, { recursive: true }));

const json = (text: string): unknown => JSON.parse(text);

describe("diptych", () => {
  test("every command's --help shows examples", async () => {
    const commands = ["embed", "classify", "similarity", "search", "tokenize", "preprocess", "demo"];
    const helps = await Promise.all(commands.map((command) => diptych([command, "--help"])));
    helps.forEach(({ code, stdout }, i) => {
      expect(code).toBe(0);
      expect(stdout).toContain(`$ diptych ${commands[i]}`);
    });
  });

  test("a misspelt option or command names the nearest", async () => {
    expect(await diptych(["search", "--modle", "x"])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("--model"),
    });
    expect(await diptych(["clasify"])).toMatchObject({ code: 1, stderr: expect.stringContaining("classify") });
    expect(await diptych(["evaluate", "zero-shot", "--jsn", "x"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--json"),
    });
  });

  test("an error is what is wrong and what to do, with the stack only if asked", async () => {
    const plain = await diptych(["search", "cat", at("nowhere"), ...model]);
    expect(plain).toEqual({
      code: 1,
      stdout: "",
      stderr: `error: ${at("nowhere")} does not exist.\nCheck the path.\n`,
    });
    const verbose = await diptych(["search", "cat", at("nowhere"), ...model, "--verbose"]);
    expect(verbose.stderr).toMatch(/\n {4}at /);
  });

  test("a reader that leaves early is no error", () => {
    const main = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
    const many = "a photo of a cat\\n".repeat(20_000);
    const { stderr } = spawnSync(
      "bash",
      [
        "-c",
        `set -o pipefail; printf '${many.slice(0, 100_000)}' | ${process.execPath} ${main} tokenize | head -n 1 > /dev/null`,
      ],
      { encoding: "utf8" },
    );
    expect(stderr).toBe("");
  });
});

describe("tokenize", () => {
  test("gives CLIP's ids for arguments, lines and JSON lines", async () => {
    expect((await diptych(["tokenize", "a photo of a cat"])).stdout).toBe("320 1125 539 320 2368\ta|photo|of|a|cat\n");
    const lines = await diptych(["tokenize"], { stdin: "a cat\r\n\nDogs" });
    expect(lines.stdout.split("\n").map((line) => line.split("\t")[0])).toEqual(["320 2368", "", "3255", ""]);
    const texts = ["a cat", "caf\u00e9\u2028and more", "\ud800"];
    const { stdout } = await diptych(["tokenize", "--json"], {
      stdin: texts.map((text) => JSON.stringify({ text })).join("\n"),
    });
    const ids = stdout.trim().split("\n").map(json);
    expect(ids).toHaveLength(3);
    expect(ids[0]).toEqual({ ids: [320, 2368] });
  });

  test("a line that is no text is refused with its number", async () => {
    const { code, stdout, stderr } = await diptych(["tokenize", "--json"], { stdin: '{"text": "cat"}\n{"txt": 1}\n' });
    expect(code).toBe(1);
    expect(stdout).toBe('{"ids":[2368]}\n');
    expect(stderr).toMatch(/^error: Line 2 /);
  });

  test("--model takes the model's own tokenizer", async () => {
    const { stdout } = await diptych(["tokenize", "--json", "snow", ...model]);
    expect(json(stdout)).toEqual({ ids: tinyCheckpoint().tokenizer!.encode("snow") });
  });
});

describe("preprocess", () => {
  test("writes the crop as PNG", async () => {
    const { code, stdout } = await diptych([
      "preprocess",
      at("pictures/red.png"),
      "--size",
      "32",
      "--out",
      at("crop.png"),
      "--json",
    ]);
    expect(code).toBe(0);
    expect(json(stdout)).toMatchObject({ width: 60, height: 40, mode: "RGB", size: 32 });
    const { data, info } = await sharp(at("crop.png")).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([32, 32, 3]);
    expect([...data.subarray(0, 3)]).toEqual([0xdd, 0x22, 0x22]);
  });

  test("an unreadable picture and a size that is none are refused", async () => {
    const broken = await diptych(["preprocess", at("pictures/broken.png"), "--out", at("x.png")]);
    expect(broken).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error: .*broken\.png cannot be read/) });
    const size = await diptych(["preprocess", at("pictures/red.png"), "--out", at("x.png"), "--size", "0"]);
    expect(size).toMatchObject({ code: 1, stderr: expect.stringContaining("whole number") });
  });
});

describe("answers", () => {
  test("classify gives probabilities, skips what it cannot read, and looks into folders", async () => {
    const { code, stdout, stderr } = await diptych([
      "classify",
      at("pictures"),
      "--classes",
      "cat, dog,car",
      "--json",
      ...model,
    ]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^skipped: .*broken\.png cannot be read.*\n$/);
    const { pictures, skipped } = json(stdout) as {
      pictures: { picture: string; classes: { name: string; probability: number }[] }[];
      skipped: { picture: string }[];
    };
    expect(pictures.map(({ picture }) => picture)).toEqual([at("pictures/deep/blue.jpg"), at("pictures/red.png")]);
    expect(skipped.map(({ picture }) => picture)).toEqual([at("pictures/broken.png")]);
    for (const { classes } of pictures) {
      expect(classes.map(({ name }) => name).sort()).toEqual(["car", "cat", "dog"]);
      expect(classes.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 5);
      expect(classes[0]!.probability).toBeGreaterThanOrEqual(classes[1]!.probability);
    }
  });

  test("classes come from a file too, and templates are checked", async () => {
    await writeFile(at("names.json"), '{"n01": "cat", "n02": "dog"}');
    const args = ["classify", at("pictures/red.png"), "--classes-file", at("names.json"), ...model];
    expect((await diptych(args)).stdout).toMatch(/red\.png\n +[\d.]+% {2}(?:cat|dog)\n/);
    const template = await diptych([...args, "--template", "a photo"]);
    expect(template).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('"a photo" has no place for the class'),
    });
  });

  test("search ranks the pictures of a folder, and finds a picture by itself", async () => {
    const { stdout } = await diptych([
      "search",
      "--picture",
      at("pictures/red.png"),
      at("pictures"),
      "--json",
      ...model,
    ]);
    const { results, searched } = json(stdout) as {
      results: { picture: string; similarity: number }[];
      searched: number;
    };
    expect(searched).toBe(2);
    expect(results[0]!.picture).toBe(at("pictures/red.png"));
    expect(results[0]!.similarity).toBeCloseTo(1, 5);
    const byText = await diptych(["search", "a red car", "-", "--top", "1", ...model], {
      stdin: `${at("pictures/red.png")}\n`,
    });
    expect(byText.stdout).toMatch(/^ *-?0\.\d{3} {2}.*red\.png\n$/);
  });

  test("similarity prints the matrix and draws it", async () => {
    const args = ["similarity", at("pictures/red.png"), at("pictures/deep"), "-t", "a cat", "-t", "a <b> dog"];
    const { stdout, stderr } = await diptych([...args, "--plot", at("matrix.svg"), "--json", ...model]);
    const { similarities } = json(stdout) as { similarities: number[][] };
    expect(similarities.map((row) => row.length)).toEqual([2, 2]);
    expect(stderr).toContain(at("matrix.svg"));
    const svg = await readFile(at("matrix.svg"), "utf8");
    expect(svg.match(/<image /g)).toHaveLength(2);
    expect(svg).toContain("a &lt;b&gt; dog");
    const table = await diptych([...args, ...model]);
    expect(table.stdout).toMatch(
      /^ {2}1 {2}a cat\n {2}2 {2}a <b> dog\n\n +1 +2\nred\.png +-?0\.\d{3} +-?0\.\d{3}\nblue\.jpg/,
    );
  });
});

describe("embed", () => {
  const inputs = (): string[] => ["embed", at("pictures/red.png"), "--text", "a cat", "--text", "a dog", ...model];

  test("JSON lines, one document, safetensors and npy hold the same numbers", async () => {
    const lines = (await diptych(inputs())).stdout.trim().split("\n").map(json) as { embedding: number[] }[];
    expect(lines).toMatchObject([{ picture: at("pictures/red.png") }, { text: "a cat" }, { text: "a dog" }]);
    const numbers = lines.flatMap(({ embedding }) => embedding);
    expect(json((await diptych([...inputs(), "--json"])).stdout)).toMatchObject({
      size: 32,
      embeddings: lines,
      skipped: [],
    });

    await diptych([...inputs(), "--out", at("e.safetensors")]);
    const stored = await readSafetensors(at("e.safetensors"));
    expect(stored.tensors.map(({ name, shape }) => [name, ...shape])).toEqual([
      ["images", 1, 32],
      ["texts", 2, 32],
    ]);
    expect(stored.tensors.flatMap(({ data }) => [...data])).toEqual(numbers);

    await diptych([...inputs(), "--out", at("e.npy")]);
    const npy = await readFile(at("e.npy"));
    const start = 10 + npy.readUInt16LE(8);
    expect(start % 64).toBe(0);
    expect(npy.subarray(10, start).toString()).toContain("'shape': (3, 32)");
    expect([...new Float32Array(new Uint8Array(npy.subarray(start)).buffer)]).toEqual(numbers);
  });

  test("nothing to embed and an unknown format are refused", async () => {
    expect(await diptych(["embed", ...model])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nothing to embed"),
    });
    const format = await diptych([...inputs(), "--out", at("e.xyz")]);
    expect(format).toMatchObject({ code: 1, stderr: expect.stringContaining(".safetensors, .npy, .jsonl") });
  });
});

describe("evaluate", () => {
  test("zero-shot on class folders and on idx files, retrieval on a table", async () => {
    for (const kind of ["cat", "dog"]) {
      await mkdir(at("classes", kind), { recursive: true });
      await sharp({
        create: { width: 40, height: 40, channels: 3, background: kind === "cat" ? "#fa0" : "#840" },
      }).toFile(at("classes", kind, "1.png"));
    }
    const folders = await diptych(["evaluate", "zero-shot", at("classes"), "--json", ...model]);
    expect(json(folders.stdout)).toMatchObject({
      pictures: 2,
      unreadable: 0,
      top5: 1,
      classes: [{ name: "cat" }, { name: "dog" }],
    });

    const header = (...numbers: number[]) =>
      numbers.flatMap((n) => [n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
    await writeFile(
      at("t-images-idx3-ubyte"),
      Uint8Array.from([0, 0, 8, 3, ...header(2, 4, 4), ...Array(16).fill(0), ...Array(16).fill(255)]),
    );
    await writeFile(at("t-labels-idx1-ubyte"), Uint8Array.from([0, 0, 8, 1, ...header(2), 0, 1]));
    const idx = await diptych([
      "evaluate",
      "zero-shot",
      at("t-images-idx3-ubyte"),
      "--classes",
      "black,white",
      ...model,
    ]);
    expect(idx.stdout).toMatch(/^2 pictures, 2 classes\n/);
    const cut = await diptych(["evaluate", "zero-shot", at("t-images-idx3-ubyte"), "--classes", "black", ...model]);
    expect(cut).toMatchObject({ code: 1, stderr: expect.stringContaining("there are 1 class names") });

    await writeFile(at("captions.csv"), "image,caption\nclasses/cat/1.png,a cat\nclasses/dog/1.png,a dog\n");
    const retrieval = await diptych(["evaluate", "retrieval", at("captions.csv"), "--json", ...model]);
    expect(json(retrieval.stdout)).toMatchObject({ pictures: 2, texts: 2, textToImage: { "recall@5": 1 } });
  });
});

describe("evaluate linear-probe", () => {
  test("fits a classifier, and says by which penalty", async () => {
    const levels = Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? 20 + i : 220 + i));
    const bigEndian = (...numbers: number[]) => numbers.flatMap((n) => [0, 0, 0, n]);
    const pixels = levels.flatMap((level) => Array<number>(16).fill(level));
    await writeFile(at("p-images-idx3-ubyte"), Uint8Array.from([0, 0, 8, 3, ...bigEndian(12, 4, 4), ...pixels]));
    const labels = levels.map((level) => (level < 128 ? 0 : 1));
    await writeFile(at("p-labels-idx1-ubyte"), Uint8Array.from([0, 0, 8, 1, ...bigEndian(12), ...labels]));
    const data = at("p-images-idx3-ubyte");
    const { stdout } = await diptych([
      ...["evaluate", "linear-probe", "--train", data, "--test", data, "--classes", "dark,light", ...model],
    ]);
    expect(stdout).toMatch(/^12 pictures fitted, 12 tested, 2 classes\n100\.0% {2}accuracy\n/);
    expect(stdout).toMatch(/\nlambda \S+: 100\.0% of the held-out pictures\n$/);
  });
});

describe("demo", () => {
  test("answers on a folder and draws the matrix that its last line names", async () => {
    const { code, stdout } = await diptych(["demo", "pictures", ...model], { cwd: folder });
    expect(code).toBe(0);
    expect(stdout.trim().split("\n").at(-1)).toContain("similarity.svg");
    expect(await readFile(at("similarity.svg"), "utf8")).toContain("<svg");
  });

  test("answers on OpenMoji's artwork, which a development install has", async () => {
    const { code, stdout } = await diptych(["demo", ...model, "--out", at("emoji.svg"), "--json"]);
    expect(code).toBe(0);
    const { classified, right } = json(stdout) as { classified: unknown[]; right: { top1: number; top5: number } };
    expect(classified.length).toBeGreaterThan(200);
    expect(right.top5).toBeGreaterThanOrEqual(right.top1);
  });
});
