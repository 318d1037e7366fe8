/**
 * @file Adapters against the identity that defines them, the model with W + (alpha / rank)·B·A in W's place, and against
 * finite differences of the loss.
 */
import { describe, expect, test } from "vitest";
import {
  type ClipConfig,
  contrastiveModel,
  initialise,
  isAdapter,
  type Lora,
  mergeAdapters,
  parameterTable,
  presets,
} from "../../src/clip/index.js";
import { gradient } from "../../src/graph/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { largestDifference, relativeDifference } from "./goldenModel.js";

const runtime = nodeRuntime({ threads: 1 });
const size = 4;
const length = 7;

const random = randomStream([3]);
const batch = {
  pixels: { data: Float32Array.from({ length: size * 3 * 32 * 32 }, () => random() * 2 - 1), shape: [size, 3, 32, 32] },
  ids: {
    data: Int32Array.from({ length: size * length }, (_, i) => (i % length === 5 ? 599 : Math.floor(random() * 599))),
    shape: [size, length],
  },
  group: { data: Int32Array.of(0, 1, 2, 3), shape: [size] },
};

const vit = presets["ViT-test"];
const resnet: ClipConfig = {
  ...vit,
  image: { kind: "resnet", imageSize: 32, layers: [1, 1, 1, 1], width: 8, heads: 4 },
};

type Values = ReadonlyMap<string, { readonly data: Float32Array; readonly shape: readonly number[] }>;

/** Initial values, with adapters that have an effect. */
function valuesOf(config: ClipConfig, lora: Lora, effect: number): Values {
  const table = parameterTable(config, { lora });
  const values = initialise(config, randomStream([1]), table);
  for (const [name, { data }] of values) {
    if (name.endsWith(".lora_B")) for (let i = 0; i < data.length; i++) data[i] = effect * (random() - 0.5);
  }
  return values;
}

async function run(config: ClipConfig, values: Values, of: readonly string[], lora?: Lora) {
  const model = contrastiveModel(config, { batch: size, lora });
  const gradients = gradient(
    model.loss,
    of.map((name) => model.parameters.get(name)!),
  );
  const program = await runtime.compile({
    image: model.imageFeatures,
    text: model.textFeatures,
    ...Object.fromEntries(of.map((name, i) => [`d ${name}`, gradients[i]!])),
  });
  const results = await program.run({ ...batch, ...Object.fromEntries(values) });
  await program.dispose();
  return new Map(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
}

describe.each<[string, ClipConfig, Lora["targets"]]>([
  ["a ViT's attention and MLPs", vit, "both"],
  ["a ViT's attention", vit, "attention"],
  ["a ViT's MLPs, with the exact GELU", { ...vit, activation: "gelu" }, "mlp"],
  ["a ResNet's pool and its text tower", resnet, "both"],
])("adapters on %s", (_, config, targets) => {
  const lora: Lora = { rank: 2, alpha: 3, targets };
  const adapters = parameterTable(config, { lora }).filter(({ name }) => isAdapter(name));
  const matrices = [...new Set(adapters.map(({ name }) => name.replace(/\.lora_[AB]$/, "")))];

  test("lie on the matrices that are meant", () => {
    const meant = parameterTable(config)
      .filter(({ name, shape }) => shape.length === 2 && /attn|mlp/.test(name) && !/embedding/.test(name))
      .map(({ name }) => name)
      .filter((name) => targets === "both" || name.includes("mlp") === (targets === "mlp"));
    expect(matrices.sort()).toEqual(meant.sort());
    expect(matrices.length).toBeGreaterThan(0);
  });

  test("with B = 0 leave the model what it was, to the bit", async () => {
    const values = initialise(config, randomStream([1]), parameterTable(config, { lora }));
    const merged = mergeAdapters(lora, values);
    expect([...merged.keys()]).toEqual(parameterTable(config).map(({ name }) => name));
    for (const [name, { data }] of merged) expect(largestDifference(data, values.get(name)!.data), name).toBe(0);
    const [adapted, plain] = [await run(config, values, [], lora), await run(config, values, [])];
    expect(adapted).toEqual(plain);
  });

  test("have the gradients that finite differences of the loss show", async () => {
    const values = valuesOf(config, lora, 0.5);
    const names = adapters.map(({ name }) => name);
    const model = contrastiveModel(config, { batch: size, lora });
    const gradients = gradient(
      model.loss,
      names.map((name) => model.parameters.get(name)!),
    );
    const both = await runtime.compile({
      loss: model.loss,
      ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])),
    });
    const slopes = await both.run({ ...batch, ...Object.fromEntries(values) });
    await both.dispose();
    const program = await runtime.compile({ loss: model.loss });
    const signs = randomStream([5]);
    for (const name of names) {
      const { data, shape } = values.get(name)!;
      const slope = slopes[`d ${name}`]!.data as Float32Array;
      // Along a random half of the gradient: a wrong entry would have to be made up for by others in that half.
      const direction = slope.map((v) => (signs() < 0.5 ? v : 0));
      const square = direction.reduce((sum, v) => sum + v * v, 0);
      // The loss changes by 1e-3: float32 knows that to a few parts in 10,000, and it is little enough to be linear.
      const step = 1e-3 / square;
      const lossAt = async (by: number) => {
        const moved = { data: data.map((v, i) => v + by * direction[i]!), shape };
        const { loss } = await program.run({ ...batch, ...Object.fromEntries(values), [name]: moved });
        return Number(loss!.data[0]);
      };
      const change = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
      expect(Math.abs(change / square - 1), name).toBeLessThan(2e-3);
    }
    await program.dispose();
  });

  test("give what the merged model gives, and gradients that are its own by the chain rule", async () => {
    const values = valuesOf(config, lora, 0.5);
    const merged = mergeAdapters(lora, values);
    const adapted = await run(
      config,
      values,
      adapters.map(({ name }) => name),
      lora,
    );
    const plain = await run(config, merged, matrices);
    const before = await run(config, values, []);
    for (const tower of ["image", "text"]) {
      expect(relativeDifference(adapted.get(tower)!, plain.get(tower)!)).toBeLessThan(1e-5);
    }
    expect(relativeDifference(adapted.get("text")!, before.get("text")!)).toBeGreaterThan(1e-2);
    const scale = lora.alpha / lora.rank;
    for (const matrix of matrices) {
      const [a, b] = [values.get(`${matrix}.lora_A`)!.data, values.get(`${matrix}.lora_B`)!.data];
      const [out, inputs] = values.get(matrix)!.shape as readonly [number, number];
      const dW = (i: number, j: number) => plain.get(`d ${matrix}`)![i * inputs + j]!;
      const sum = (count: number, term: (k: number) => number) => {
        let total = 0;
        for (let k = 0; k < count; k++) total += term(k);
        return scale * total;
      };
      // dA = s·Bᵀ·dW, dB = s·dW·Aᵀ
      const dA = a.map((_, at) => sum(out, (k) => b[k * 2 + Math.floor(at / inputs)]! * dW(k, at % inputs)));
      const dB = b.map((_, at) => sum(inputs, (k) => dW(Math.floor(at / 2), k) * a[(at % 2) * inputs + k]!));
      expect(relativeDifference(adapted.get(`d ${matrix}.lora_A`)!, dA), `dA of ${matrix}`).toBeLessThan(1e-4);
      expect(relativeDifference(adapted.get(`d ${matrix}.lora_B`)!, dB), `dB of ${matrix}`).toBeLessThan(1e-4);
    }
  });
});
