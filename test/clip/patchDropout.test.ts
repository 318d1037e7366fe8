import { describe, expect, test } from "vitest";
import { type ClipConfig, encodeImage, initialise, Parameters, presets } from "../../src/clip/index.js";
import { gradient, input } from "../../src/graph/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { relativeDifference } from "./goldenModel.js";

const runtime = nodeRuntime({ threads: 1 });
const size = 2;
const { image: vit, ...rest } = presets["ViT-test"];
const configOf = (changes: object): ClipConfig => ({ ...rest, image: { ...vit, ...changes } });

type Values = ReadonlyMap<string, { readonly data: Float32Array; readonly shape: readonly number[] }>;

/** Features and the gradient of the positions; `kept` a list of patches for each picture. */
async function run(config: ClipConfig, values: Values, pixels: Float32Array, kept?: readonly (readonly number[])[]) {
  const side = config.image.imageSize as number;
  const p = Parameters.root();
  const patches = kept && input("patches", [size, kept[0]!.length], "int32");
  const features = encodeImage(config, p, input("pixels", [size, 3, side, side]), patches);
  const [positions] = gradient(
    features,
    [p.all().get("visual.positional_embedding")!],
    input("upstream", features.shape),
  );
  const program = await runtime.compile({ features, positions: positions! });
  const results = await program.run({
    ...Object.fromEntries(values),
    pixels: { data: pixels, shape: [size, 3, side, side] },
    upstream: {
      data: Float32Array.from({ length: size * config.embedSize }, (_, i) => Math.cos(i)),
      shape: [size, config.embedSize],
    },
    ...(kept && { patches: { data: Int32Array.from(kept.flat()), shape: [size, kept[0]!.length] } }),
  });
  await program.dispose();
  return { features: results.features!.data as Float32Array, positions: results.positions!.data as Float32Array };
}

const random = randomStream([5]);
const pixels = Float32Array.from({ length: size * 3 * 32 * 32 }, () => random() * 2 - 1);
/** Of 4×4 patches of 8×8, the four in the upper left corner. */
const corner = [0, 1, 4, 5];

describe.each([
  ["class token", {}],
  ["pooling by a probe", { classToken: false, attentionPool: { kind: "probe", heads: 2, mlpWidth: 32 } }],
  ["average of the patches", { pool: "average" }],
])("a tower with %s that looks at some patches", (_, changes) => {
  const config = configOf(changes);
  const values = initialise(config, randomStream([1]));
  const all = Array.from({ length: 16 }, (_, i) => i);

  test("equals the whole one where it looks at all of them, in any order", async () => {
    const whole = await run(config, values, pixels);
    const some = await run(config, values, pixels, [all, [...all].reverse()]);
    expect(relativeDifference(some.features, whole.features)).toBeLessThan(1e-5);
    expect(relativeDifference(some.positions, whole.positions)).toBeLessThan(1e-5);
  });

  test("equals a tower for smaller pictures where it looks at a corner", async () => {
    const some = await run(config, values, pixels, [corner, corner]);
    const first = "classToken" in changes ? 0 : 1;
    const rows = [...(first ? [0] : []), ...corner.map((patch) => first + patch)];
    const width = vit.width;
    const positions = values.get("visual.positional_embedding")!.data;
    const table = Float32Array.from(rows.flatMap((row) => [...positions.subarray(row * width, (row + 1) * width)]));
    const cut = Float32Array.from({ length: size * 3 * 16 * 16 }, (_, i) => {
      const [plane, y, x] = [Math.floor(i / 256), Math.floor(i / 16) % 16, i % 16];
      return pixels[(plane * 32 + y) * 32 + x]!;
    });
    const smaller = await run(
      configOf({ ...changes, imageSize: 16 }),
      new Map([...values, ["visual.positional_embedding", { data: table, shape: [rows.length, width] }]]),
      cut,
    );
    expect(relativeDifference(some.features, smaller.features)).toBeLessThan(1e-5);
    const expected = new Float32Array(positions.length);
    for (const [i, row] of rows.entries()) {
      expected.set(smaller.positions.subarray(i * width, (i + 1) * width), row * width);
    }
    expect(relativeDifference(some.positions, expected)).toBeLessThan(1e-5);
  });
});
