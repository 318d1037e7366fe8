import { expect, test } from "vitest";
import { contrastiveModel, initialise, presets } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";

const config = presets["ViT-test"];
const { vocabularySize, contextLength } = config.text;

/** Three texts of 3, 5 and 16 tokens, each with the largest id last. */
const lengths = [3, 5, contextLength];
const ids = new Int32Array(3 * contextLength);
for (const [row, length] of lengths.entries()) {
  for (let i = 0; i < length; i++) ids[row * contextLength + i] = i === length - 1 ? vocabularySize - 1 : 7 + row + i;
}

test("texts in portions, each as long as its longest, have the features of all at once", async () => {
  const runtime = nodeRuntime({ threads: 1 });
  const parameters = Object.fromEntries(initialise(config, randomStream([3])));
  const features = async (textsAtATime: number | undefined, feeds: object) => {
    const { textFeatures } = contrastiveModel(config, { batch: 3, textsAtATime });
    const program = await runtime.compile({ textFeatures });
    const { textFeatures: result } = await program.run({ ...parameters, ...feeds });
    await program.dispose();
    return result!.data as Float32Array;
  };
  const cut = (row: number, count: number, length: number) => ({
    data: Int32Array.from({ length: count * length }, (_, i) => {
      const at = (row + Math.floor(i / length)) * contextLength + (i % length);
      return ids[at]!;
    }),
    shape: [count, length],
  });
  const whole = await features(undefined, { ids: { data: ids, shape: [3, contextLength] } });
  const portions = await features(2, { "ids 0": cut(0, 2, 5), "ids 1": cut(2, 1, contextLength) });
  for (const [i, value] of whole.entries()) expect(portions[i]).toBeCloseTo(value, 5);
});
