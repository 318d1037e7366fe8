import { describe, expect, test } from "vitest";
import { type ClipConfig, parameterTable, placeOf, presets } from "../../src/clip/index.js";
import { frozenBy, type Lock, layerRates } from "../../src/train/index.js";

const vit = presets["ViT-B-32"];
const learnedNames = (config: ClipConfig, lock: Lock) =>
  parameterTable(config, { frozen: frozenBy(config, lock) })
    .filter(({ learned }) => learned)
    .map(({ name }) => name);
const ofImage = (name: string) => name.startsWith("visual.");

describe("the layers of a tower", () => {
  /** Groups of open_clip 3.3's `VisionTransformer.lock` and `lock_text_tower`, from the embedding up. */
  test.each([
    ["visual.conv1.weight", 0],
    ["visual.class_embedding", 0],
    ["visual.positional_embedding", 0],
    ["visual.ln_pre.bias", 0],
    ["visual.transformer.resblocks.0.ln_1.weight", 1],
    ["visual.transformer.resblocks.10.attn.in_proj_weight", 11],
    ["visual.transformer.resblocks.11.mlp.c_fc.bias", 12],
    ["visual.ln_post.weight", 12],
    ["visual.proj", 13],
    ["token_embedding.weight", 0],
    ["positional_embedding", 0],
    ["transformer.resblocks.3.mlp.c_proj.weight", 4],
    ["transformer.resblocks.11.ln_2.bias", 12],
    ["ln_final.bias", 12],
    ["text_projection", 13],
  ])("%s is of layer %i", (name, layer) => {
    expect(placeOf(vit, name)).toEqual({ tower: ofImage(name) ? "image" : "text", layer, top: 13 });
  });

  test("of a ResNet are the stem, the stages and the pool; the logits' scale is of none", () => {
    const layerOf = (name: string) => placeOf(presets.RN50, name)?.layer;
    expect(
      ["visual.bn1.weight", "visual.layer1.2.bn3.bias", "visual.layer4.0.downsample.0.weight"].map(layerOf),
    ).toEqual([0, 1, 4]);
    expect(layerOf("visual.attnpool.positional_embedding")).toBe(5);
    expect(placeOf(vit, "logit_scale")).toBeNull();
  });
});

describe("locking", () => {
  test("leaves the other tower and the logits' scale to learn", () => {
    expect(learnedNames(vit, { image: true }).filter(ofImage)).toEqual([]);
    expect(learnedNames(vit, { image: true })).toContain("logit_scale");
    expect(learnedNames(vit, { image: true, text: true })).toEqual(["logit_scale"]);
    expect(learnedNames(vit, {})).toEqual(parameterTable(vit).map(({ name }) => name));
  });

  test("unlocks open_clip's groups from a layer up", () => {
    expect(learnedNames(vit, { image: { unlockedFrom: 13 } }).filter(ofImage)).toEqual(["visual.proj"]);
    const two = learnedNames(vit, { image: { unlockedFrom: 12 } }).filter(ofImage);
    expect(two.length).toBe(12 + 2 + 1);
    expect(two.every((name) => /resblocks\.11\.|ln_post|proj$/.test(name))).toBe(true);
    expect(learnedNames(vit, { text: { unlockedFrom: 0 } })).toEqual(learnedNames(vit, {}));
  });

  test("says which layers there are", () => {
    expect(() => frozenBy(vit, { text: { unlockedFrom: 14 } })).toThrow(
      expect.objectContaining({ code: "NoSuchLayer", message: expect.stringContaining("its layers are 0 to 13") }),
    );
  });

  test("with adapters leaves those of unlocked layers alone", () => {
    const lora = { rank: 1, alpha: 1, targets: "both" } as const;
    const table = parameterTable(vit, { lora, frozen: frozenBy(vit, { image: true }, lora) });
    const learned = table.filter(({ learned }) => learned).map(({ name }) => name);
    expect(learned.length).toBe(12 * 4 * 2);
    expect(learned.every((name) => /^transformer\..*\.lora_[AB]$/.test(name))).toBe(true);
  });
});

test("layer-wise rates fall by the same factor from layer to layer", () => {
  const rate = layerRates(vit, 0.5);
  expect(rate("logit_scale")).toBe(1);
  expect(rate("visual.proj")).toBe(1);
  expect(rate("visual.ln_post.bias")).toBe(0.5);
  expect(rate("transformer.resblocks.0.ln_1.weight")).toBe(0.5 ** 12);
  expect(rate("token_embedding.weight")).toBe(0.5 ** 13);
});
