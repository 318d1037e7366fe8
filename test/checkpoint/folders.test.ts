import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inferConfig } from "../../src/checkpoint/index.js";
import {
  type Checkpoint,
  loadCheckpoint,
  loadTraining,
  readSafetensors,
  saveCheckpoint,
  writeSafetensors,
} from "../../src/checkpoint/node.js";
import { parameterTable, presets } from "../../src/clip/index.js";
import { openaiPreprocess } from "../../src/image/index.js";
import { createTokenizer, readTokenizerJson } from "../../src/tokenizer/index.js";
import { hasShared, shared } from "../goldens.js";
import { wordPieces } from "../tokenizer/jsonFiles.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
});
afterAll(() => rm(folder, { recursive: true }));

const config = presets["ViT-test"];
const tokenizer = createTokenizer({ merges: [["a", "b</w>"]] });
/** A model whose every number tells where it belongs. */
const small: Checkpoint = {
  config,
  preprocess: openaiPreprocess(config.image.imageSize),
  tokenizer,
  parameters: new Map(
    parameterTable(config).map(({ name, shape }, t) => {
      const count = shape.reduce((product, size) => product * size, 1);
      return [name, { shape, data: Float32Array.from({ length: count }, (_, i) => ((t * 1009 + i) % 1024) / 1024) }];
    }),
  ),
  origin: "made by a test",
};
/** Comparing hashes is a hundred times faster than comparing the arrays element by element. */
const hash = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  createHash("sha256")
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest("hex");
const dataOf = ({ parameters }: Checkpoint) =>
  [...parameters].map(([name, { data, shape }]) => [name, hash(data), [...shape]]);

describe("a saved checkpoint", () => {
  test.each(["diptych", "huggingFace", "openClip"] as const)(
    "%s: gives back every number, size and token",
    async (format) => {
      const place = path.join(folder, format);
      await saveCheckpoint(place, small, { format });
      const read = await loadCheckpoint(place);
      expect(dataOf(read)).toEqual(dataOf(small));
      expect(read.config).toEqual(config);
      expect({ ...read.preprocess, convention: "torchvision" }).toEqual(small.preprocess);
      expect(read.tokenizer!.encode("ab ba ab")).toEqual(tokenizer.encode("ab ba ab"));
      expect([read.tokenizer!.startId, read.tokenizer!.endId]).toEqual([tokenizer.startId, tokenizer.endId]);
    },
  );

  test.each(["diptych", "huggingFace", "openClip"] as const)(
    "%s: keeps another model's tokenizer.json as it is",
    async (format) => {
      const place = path.join(folder, `json-${format}`);
      const json = await readTokenizerJson(wordPieces, { clean: "whitespace", endsWithZero: format !== "huggingFace" });
      await saveCheckpoint(place, { ...small, tokenizer: json }, { format });
      const { tokenizer: read } = await loadCheckpoint(place);
      expect(read).toMatchObject({ kind: "json", files: wordPieces, startId: 2, endId: json.endId, padId: 0 });
      expect(read!.encode("two dogs")).toEqual(json.encode("two dogs"));
      if (format !== "huggingFace") expect(read!.clean).toBe("whitespace");
    },
  );

  test("half precision keeps numbers that half precision holds", async () => {
    const place = path.join(folder, "half");
    await saveCheckpoint(place, small, { dtype: "F16" });
    expect(dataOf(await loadCheckpoint(place))).toEqual(dataOf(small));
  });

  test("goes along with the run's state, and without it when saved without", async () => {
    const place = path.join(folder, "run");
    const training = {
      tensors: [{ name: "moment", shape: [2], data: Float32Array.of(0.1, 3e-9) }],
      state: { step: 7 },
    };
    await saveCheckpoint(place, small, { training });
    expect(await loadTraining(place)).toEqual(training);
    await saveCheckpoint(place, small);
    expect(await loadTraining(place)).toBeNull();
  });

  test("does not take the place of a file", async () => {
    const file = path.join(folder, "occupied");
    await writeFile(file, "mine");
    await expect(saveCheckpoint(file, small)).rejects.toThrow("is a file");
    expect(await readFile(file, "utf8")).toBe("mine");
  });

  test("another format in the same folder leaves nothing of the first", async () => {
    const place = path.join(folder, "changed");
    await saveCheckpoint(place, small, { format: "huggingFace" });
    await saveCheckpoint(place, { ...small, tokenizer: null }, { format: "openClip" });
    expect((await readdir(place)).sort()).toEqual(["open_clip_config.json", "open_clip_model.safetensors"]);
  });
});

describe("what does not fit is refused by name", () => {
  const edited = async (
    name: string,
    edit: (json: Record<string, never>) => unknown,
    format: "diptych" | "openClip",
  ) => {
    const place = path.join(folder, `edited-${name}`);
    await saveCheckpoint(place, small, { format });
    const file = path.join(place, format === "diptych" ? "config.json" : "open_clip_config.json");
    await writeFile(file, JSON.stringify(edit(JSON.parse(await readFile(file, "utf8")))));
    return loadCheckpoint(place);
  };
  const withTensors = async (name: string, edit: (tensors: Map<string, number[]>) => void) => {
    const place = path.join(folder, `tensors-${name}`);
    await saveCheckpoint(place, small);
    const shapes = new Map([...small.parameters].map(([key, { shape }]) => [key, [...shape]]));
    edit(shapes);
    const tensors = [...shapes].map(([key, shape]) => {
      return { name: key, shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
    });
    await writeSafetensors(path.join(place, "model.safetensors"), tensors);
    return loadCheckpoint(place);
  };

  test("a tensor that is missing", async () => {
    const loading = withTensors("missing", (shapes) => shapes.delete("visual.proj"));
    await expect(loading).rejects.toThrow("has no tensor visual.proj of shape [32,32]");
  });
  test("a tensor of another shape", async () => {
    const loading = withTensors("shape", (shapes) => shapes.set("ln_final.bias", [16]));
    await expect(loading).rejects.toThrow("Tensor ln_final.bias in");
  });
  test("a tensor too many", async () => {
    const loading = withTensors("extra", (shapes) => shapes.set("visual.head.bias", [4]));
    await expect(loading).rejects.toThrow("a tensor visual.head.bias of shape [4]");
  });
  test("a misspelled entry, with the nearest name", async () => {
    const loading = edited(
      "spelling",
      (json) => ({ ...json, model: { ...(json.model as object), embedsize: 3 } }),
      "diptych",
    );
    await expect(loading).rejects.toThrow(
      "sets model.embedsize, which Diptych does not know. The nearest known name is embedSize",
    );
  });
  test("sizes that are possible each alone and not together", async () => {
    const odd = { ...config, image: { ...config.image, heads: 5 }, text: { ...config.text, heads: 64 } };
    const loading = edited("heads", (json) => ({ ...json, model: odd }), "diptych");
    await expect(loading).rejects.toThrow("the text tower is 32 wide, which 64 heads cannot share");
    const coarse = { ...config, image: { ...config.image, patchSize: 99 } };
    const blind = edited("patch", (json) => ({ ...json, model: coarse }), "diptych");
    await expect(blind).rejects.toThrow("pictures of 32 pixels hold no patch of 99");
    const wide = (json: Record<string, never>) => {
      const { model_cfg } = json as unknown as { model_cfg: { vision_cfg: object } };
      return { ...json, model_cfg: { ...model_cfg, vision_cfg: { ...model_cfg.vision_cfg, head_width: 99 } } };
    };
    await expect(edited("head-width", wide, "openClip")).rejects.toThrow("entry image.heads");
  });
  test("a billion layers", async () => {
    const deep = { ...config, image: { ...config.image, layers: 1e9 } };
    const loading = edited("layers", (json) => ({ ...json, model: deep }), "diptych");
    await expect(loading).rejects.toThrow("The config has 1000000002 layers");
  });
  test("an option that builds another model", async () => {
    const cfg = (change: object) => (json: Record<string, never>) => {
      const { model_cfg, ...rest } = json as unknown as { model_cfg: { vision_cfg: object } };
      return { ...rest, model_cfg: { ...model_cfg, vision_cfg: { ...model_cfg.vision_cfg, ...change } } };
    };
    const refused = edited("cosine", cfg({ scaled_cosine_attn: true }), "openClip");
    await expect(refused).rejects.toThrow("sets scaled_cosine_attn to true");
    const timm = edited("timm", cfg({ timm_model_name: "convnext_base" }), "openClip");
    await expect(timm).rejects.toThrow('sets timm_model_name to "convnext_base"');
    expect((await edited("neutral", cfg({ pool_type: "tok", ls_init_value: null }), "openClip")).config).toEqual(
      config,
    );
  });
  test("a tokenizer with more tokens than the model", async () => {
    const tokens = createTokenizer({
      merges: Array.from({ length: 200 }, (_, i) => ["a".repeat(i + 1), "a"] as const),
    });
    const place = path.join(folder, "tokens");
    await saveCheckpoint(place, { ...small, tokenizer: tokens });
    await expect(loadCheckpoint(place)).rejects.toThrow("knows 714 tokens, and the model 600");
  });
  test("weights whose activation nothing tells", async () => {
    const file = path.join(folder, "bare", "weights.safetensors");
    await mkdir(path.dirname(file));
    await cp(path.join(folder, "diptych", "model.safetensors"), file);
    await expect(loadCheckpoint(file)).rejects.toThrow("which activation they were trained with");
    await expect(loadCheckpoint(file, { activation: "gelu" })).rejects.toThrow(
      "number of heads of the image tower, 32 wide",
    );
    const { config: inferred } = await loadCheckpoint(file, { activation: "gelu", heads: { image: 2, text: 2 } });
    expect(inferred).toEqual({ ...config, activation: "gelu" });
  });
  test("a folder without weights, a path that is not there, and another model's file", async () => {
    await expect(loadCheckpoint(folder)).rejects.toThrow("no .safetensors, .pt or .bin file");
    await expect(loadCheckpoint(path.join(folder, "nowhere"))).rejects.toThrow("cannot be read");
    const file = path.join(folder, "other.safetensors");
    await writeSafetensors(file, [{ name: "x", shape: [1], data: Float32Array.of(1) }]);
    await expect(loadCheckpoint(file)).rejects.toThrow("holds no CLIP");
    await rm(file);
  });
  test("an activation called as every object's prototype is", async () => {
    const place = path.join(folder, "prototype");
    await saveCheckpoint(place, small, { format: "huggingFace" });
    const file = path.join(place, "config.json");
    await writeFile(file, (await readFile(file, "utf8")).replaceAll('"quick_gelu"', '"__proto__"'));
    await expect(loadCheckpoint(place)).rejects.toThrow('sets hidden_act to "__proto__"');
  });
  test("a shard outside the folder", async () => {
    const place = path.join(folder, "escape");
    await mkdir(place);
    await writeFile(path.join(place, "model.safetensors.index.json"), '{"weight_map":{"a":"../x.safetensors"}}');
    await expect(loadCheckpoint(place)).rejects.toThrow("a shard outside its folder: ../x.safetensors");
  });
});

test.skipIf(!hasShared)("the tensors of OpenAI's ViT-B-32.pt are those of the preset", async () => {
  const stored = JSON.parse(await readFile(shared("oracles/vit-b-32.tensors.json"), "utf8")) as Record<
    string,
    { shape: number[] }
  >;
  for (const buffer of ["input_resolution", "context_length", "vocab_size"]) delete stored[buffer];
  const table = parameterTable(presets["ViT-B-32"]).map(({ name, shape }) => [name, [...shape]]);
  expect(Object.fromEntries(table)).toEqual(
    Object.fromEntries(Object.entries(stored).map(([name, { shape }]) => [name, shape])),
  );
  expect(inferConfig(new Map(Object.entries(stored).map(([name, { shape }]) => [name, shape])), "quick_gelu")).toEqual(
    presets["ViT-B-32"],
  );
});

test("the sizes of every published preset are inferred from its shapes", () => {
  for (const [name, preset] of Object.entries(presets)) {
    if (name === "ViT-test") continue; // its heads are not 64 wide
    const shapes = new Map(parameterTable(preset).map(({ name, shape }) => [name, shape]));
    expect(inferConfig(shapes, "quick_gelu")).toEqual(preset);
  }
});

describe.skipIf(!hasShared)("the references' files", () => {
  const models = shared("goldens/models");
  const weights = (name: string) => readSafetensors(path.join(models, name));

  test.each([
    ["vit/vit.openclip.safetensors", "vit/vit.openclip.safetensors"],
    ["vit/vit.hf", "vit/vit.openclip.safetensors"],
    ["vit/vit.hf-sharded", "vit/vit.openclip.safetensors"],
    ["vit-gelu/vit-gelu.openclip.bf16.safetensors", "vit-gelu/vit-gelu.openclip.safetensors"],
    ["vit-gelu/vit-gelu.hf", "vit-gelu/vit-gelu.openclip.safetensors"],
  ])("%s holds open_clip's numbers and the reference's config", async (name, reference) => {
    const read = await loadCheckpoint(path.join(models, name));
    const expected = await loadCheckpoint(path.join(models, reference));
    expect(read.config).toEqual(expected.config);
    const stored = new Map((await weights(reference)).tensors.map((tensor) => [tensor.name, tensor]));
    expect(read.parameters.size).toBe(stored.size);
    for (const [key, { data }] of read.parameters) expect(hash(data), key).toBe(hash(stored.get(key)!.data));
  });

  test("a complete Hugging Face folder brings its tokenizer and its preprocessing", async () => {
    const { tokenizer: real, preprocess, config: read } = await loadCheckpoint(path.join(models, "vit-full.hf"));
    expect(real!.encode("a photo of a cat")).toEqual([320, 1125, 539, 320, 2368]);
    expect([real!.startId, real!.endId, real!.vocabularySize]).toEqual([49406, 49407, 49408]);
    expect(preprocess).toEqual({ ...openaiPreprocess(64), convention: "transformers" });
    expect(read.activation).toBe("quick_gelu");
  });

  test("pixels are resized as torch does where the folder names a fast processor, and again when it is saved", async () => {
    const place = path.join(folder, "fast");
    await cp(path.join(models, "vit-full.hf"), place, { recursive: true });
    const file = path.join(place, "preprocessor_config.json");
    await writeFile(file, (await readFile(file, "utf8")).replace("CLIPImageProcessor", "CLIPImageProcessorFast"));
    const read = await loadCheckpoint(place);
    expect(read.preprocess.convention).toBe("transformers-fast");
    const again = path.join(folder, "fast-again");
    await saveCheckpoint(again, read, { format: "huggingFace" });
    expect((await loadCheckpoint(again)).preprocess).toEqual(read.preprocess);
  });

  test("tokenizer.json alone gives the same tokenizer as vocab.json and merges.txt", async () => {
    const place = path.join(folder, "json-only");
    await cp(path.join(models, "vit-full.hf"), place, { recursive: true });
    await rm(path.join(place, "vocab.json"));
    const { tokenizer: real } = await loadCheckpoint(place);
    expect(real!.encode("tokenizer files, 3 of them")).toEqual(
      (await loadCheckpoint(path.join(models, "vit-full.hf"))).tokenizer!.encode("tokenizer files, 3 of them"),
    );
  });
});
