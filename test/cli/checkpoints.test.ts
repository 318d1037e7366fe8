import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCheckpoint, saveCheckpoint, writeSafetensors } from "../../src/checkpoint/node.js";
import { checkCrops, checkTokenizer, readReference } from "../../src/cli/doctorChecks.js";
import { createTokenizer } from "../../src/tokenizer/index.js";
import { loadClipTokenizer } from "../../src/tokenizer/node.js";
import { tinyCheckpoint } from "../tasks/tiny.js";
import { diptych } from "./run.js";

let folder: string;
const at = (...parts: string[]): string => path.join(folder, ...parts);
const tiny = tinyCheckpoint();

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-cli-"));
  await saveCheckpoint(at("model"), tiny);
});
afterAll(() => rm(folder, { recursive: true }));

test("every command's --help shows examples", async () => {
  for (const command of ["convert", "inspect", "doctor"]) {
    expect(await diptych([command, "--help"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`$ diptych ${command} `),
    });
  }
});

describe("convert", () => {
  test.each(["huggingface", "open_clip", "diptych"])("to %s and back keeps every number", async (format) => {
    const there = await diptych(["convert", at("model"), at(format), "--format", format]);
    expect(there).toEqual({ code: 0, stdout: "", stderr: `written: ${at(format)} (${format}, f32)\n` });
    const { parameters, config, tokenizer } = await loadCheckpoint(at(format));
    expect(config).toEqual(tiny.config);
    expect(tokenizer!.encode("two dogs")).toEqual(tiny.tokenizer!.encode("two dogs"));
    for (const [name, { data }] of tiny.parameters)
      expect(Buffer.from(parameters.get(name)!.data.buffer), name).toEqual(Buffer.from(data.buffer));
  });

  test("to onnx writes what transformers.js loads", async () => {
    const { code, stdout } = await diptych(["convert", at("model"), at("onnx"), "--format", "onnx", "--json"]);
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      { from: at("model"), to: at("onnx"), format: "onnx", dtype: "f32", tokenizer: true },
    ]);
    expect((await readdir(at("onnx/onnx"))).sort()).toEqual(["text_model.onnx", "vision_model.onnx"]);
    expect(JSON.parse(await readFile(at("onnx/config.json"), "utf8"))).toMatchObject({ model_type: "clip" });
  });

  test("does not write where files are, not even over the model itself", async () => {
    const { code, stderr } = await diptych(["convert", at("model"), at("model"), "--format", "onnx"]);
    expect([code, stderr]).toEqual([
      1,
      `error: ${at("model")} holds files already.\nName a new folder, or remove that one.\n`,
    ]);
    expect((await loadCheckpoint(at("model"))).config).toEqual(tiny.config);
  });

  test("refuses a format that there is not, and weights of which too little is known", async () => {
    const wrong = await diptych(["convert", at("model"), at("x"), "--format", "onxx"]);
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("onnx") });
    const tensors = [...tiny.parameters].map(([name, parameter]) => ({ name, ...parameter }));
    await writeSafetensors(at("bare.safetensors"), tensors);
    const bare = await diptych(["convert", at("bare.safetensors"), at("x"), "--format", "diptych"]);
    expect(bare).toMatchObject({ code: 1, stderr: expect.stringContaining("which activation") });
    expect(await readdir(folder)).not.toContain("x");
  });
});

describe("inspect", () => {
  test("shows the sizes, the counts, and where they were learned", async () => {
    const { code, stdout } = await diptych(["inspect", at("model")]);
    expect(code).toBe(0);
    expect(stdout).toContain("activation quick_gelu, logit scale 20.00");
    expect(stdout).toMatch(/^text tower +[\d,]+ parameters: context length 32, vocabulary size/m);
    expect(stdout).toContain("  preprocessing: config.json\n");
  });

  test("prints it as one JSON document, and the counts add up", async () => {
    const { stdout } = await diptych(["inspect", at("model"), "--json"]);
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({ config: tiny.config, preprocess: tiny.preprocess });
    const counts = [...tiny.parameters].map(([name, { data }]) => [name, data.length] as const);
    const sum = (some: typeof counts) => some.reduce((total, [, count]) => total + count, 0);
    expect(found.parameters.total).toBe(sum(counts));
    expect(found.parameters.image).toBe(sum(counts.filter(([name]) => name.startsWith("visual."))));
    expect(found.parameters.shared).toBe(1);
  });
});

describe("doctor", () => {
  test("finds nothing where nothing is wrong", async () => {
    const { code, stdout } = await diptych(["doctor", at("model"), "--json"]);
    const { ok, machine, checks } = JSON.parse(stdout);
    expect(checks.filter((check: { ok: boolean }) => !check.ok)).toEqual([]);
    expect([code, ok]).toEqual([0, true]);
    expect(machine.runtime).toContain("onnxruntime-node");
    expect(checks.length).toBeGreaterThan(12);
  });

  test("exits with 1 and names the tensor when a checkpoint holds numbers that are none", async () => {
    const broken = { ...tiny, parameters: new Map(tiny.parameters) };
    const bias = tiny.parameters.get("ln_final.bias")!;
    broken.parameters.set("ln_final.bias", { ...bias, data: bias.data.map((x, i) => (i === 3 ? Number.NaN : x)) });
    await saveCheckpoint(at("broken"), broken);
    const { code, stdout } = await diptych(["doctor", at("broken")]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^DEVIATES .*weights: numbers that are not finite in ln_final.bias$/m);
    expect(stdout).toMatch(/^DEVIATES .*texts: 12 embedded alone and together differ by NaN$/m);
    expect(stdout).toMatch(/^ok .*pictures: 3 embedded alone/m);
  });

  test("names the texts and the crops that come out otherwise", async () => {
    const reference = await readReference();
    const { merges } = await loadClipTokenizer();
    const unrepaired = checkTokenizer(createTokenizer({ merges, clean: "whitespace" }), reference);
    expect(unrepaired).toMatchObject({ ok: false, finding: expect.stringContaining("A PHOTO of") });
    const crops = reference.crops.map((hash, i) => (i === 2 ? "0" : hash));
    expect(checkCrops({ ...reference, crops })).toMatchObject({
      ok: false,
      finding: "other bytes in LA shortest bicubic 48",
    });
  });
});
