import { describe, expect, test } from "vitest";
import { resizeGrid, resizeLine, withContextLength, withImageSize } from "../../src/checkpoint/positions.js";
import { type ClipConfig, encodeImage, initialise, Parameters, parameterTable, presets } from "../../src/clip/index.js";
import { input } from "../../src/graph/index.js";
import { openaiPreprocess, randomStream } from "../../src/image/index.js";
import { golden, largestDifference } from "../clip/goldenModel.js";
import { hasShared } from "../goldens.js";

/** PyTorch computes places and weights in float32, Diptych in float64; the embeddings are up to 4. */
const tolerance = { grid: 5e-6, line: 3e-5 };

describe.skipIf(!hasShared)("against open_clip", () => {
  test.each([
    [4, 4],
    [14, 14],
    [24, 24],
    [3, 5],
    [7, 10],
  ])("a grid of 7×7 as %i×%i", async (height, width) => {
    const embeddings = await golden("models/variants/pos_embed_resize");
    const { data, shape } = resizeGrid(embeddings.get("vision_7x7")!, 1, [7, 7], [height, width]);
    const expected = embeddings.get(`vision_${height}x${width}`)!;
    expect(shape).toEqual(expected.shape);
    expect(largestDifference(data, expected.data)).toBeLessThan(tolerance.grid);
  });

  test.each([32, 64, 120])("77 tokens as %i", async (length) => {
    const embeddings = await golden("models/variants/pos_embed_resize");
    const { data } = resizeLine(embeddings.get("text_77")!, length);
    expect(largestDifference(data, embeddings.get(`text_${length}`)!.data)).toBeLessThan(tolerance.line);
  });
});

describe("a model for another size", () => {
  const checkpointOf = (config: ClipConfig) => ({
    config,
    preprocess: openaiPreprocess(32),
    parameters: initialise(config, randomStream([1])),
  });
  const small = presets["ViT-test"];
  const resnet: ClipConfig = {
    ...small,
    image: { kind: "resnet", imageSize: 64, layers: [1, 1, 1, 1], width: 8, heads: 4 },
  };

  test.each([
    ["ViT", small, 48],
    ["ViT, not square", small, [24, 40] as [number, number]],
    ["ViT without class token", { ...small, image: { ...small.image, classToken: false, pool: "average" } }, 48],
    ["ResNet", resnet, 96],
  ] as const)("%s: has the parameters that it asks for, and takes such pictures", (_, config, size) => {
    const {
      config: resized,
      parameters,
      preprocess,
    } = withImageSize(checkpointOf(config as ClipConfig), size as number);
    const table = parameterTable(resized).map(({ name, shape }) => [name, shape]);
    expect(Object.fromEntries([...parameters].map(([name, { shape }]) => [name, shape]))).toEqual(
      Object.fromEntries(table),
    );
    expect(preprocess.size).toEqual(size);
    const [height, width] = typeof size === "number" ? [size, size] : size;
    const features = encodeImage(resized, Parameters.root(), input("pixels", ["N", 3, height, width]));
    expect(features.shape).toEqual(["N", 32]);
  });

  test("its own size changes nothing", () => {
    const checkpoint = checkpointOf(small);
    expect(withImageSize(checkpoint, 32).parameters).toEqual(checkpoint.parameters);
    expect(withContextLength(checkpoint, small.text.contextLength).parameters).toEqual(checkpoint.parameters);
  });

  test("the class tokens' embeddings are kept", () => {
    const checkpoint = checkpointOf({ ...small, text: { ...small.text, classToken: true } });
    const row = (c: typeof checkpoint, name: string, at: number) =>
      c.parameters.get(name)!.data.slice(at * 32, (at + 1) * 32);
    const resized = withContextLength(withImageSize(checkpoint, 64), 9);
    expect(row(resized, "visual.positional_embedding", 0)).toEqual(row(checkpoint, "visual.positional_embedding", 0));
    expect(row(resized, "positional_embedding", 9)).toEqual(row(checkpoint, "positional_embedding", 16));
    expect(resized.parameters.get("positional_embedding")!.shape).toEqual([10, 32]);
  });

  test("pictures smaller than a patch, and oblong ones for a ResNet, are refused", () => {
    expect(() => withImageSize(checkpointOf(small), 7)).toThrow("hold no patch");
    expect(() => withImageSize(checkpointOf(resnet), [64, 96])).toThrow("square pictures");
  });
});
