/** @file What the reference has inside its towers, tensor by tensor: where features differ, this says from where on. */
import { describe, expect, test } from "vitest";
import { encodeImage, encodeText, Parameters } from "../../src/clip/index.js";
import { input } from "../../src/graph/index.js";
import { hasShared } from "../goldens.js";
import { everyTensor, firstRows, nearest } from "./activations.js";
import { type Expected, golden, goldenModel } from "./goldenModel.js";

/** Like a feature's: 17 times what the worst differs by. */
const TOLERANCE = 1e-5;

/** Rows `[B·T, D]` of which each sequence keeps one: `[B, D]`. */
function rowsAt({ data, shape }: Expected, places: readonly number[]): Float32Array {
  const [, tokens, width] = shape as readonly [number, number, number];
  return Float32Array.from(
    places.flatMap((place, i) => [...data.subarray((i * tokens + place) * width, (i * tokens + place + 1) * width)]),
  );
}

/** `[B, D, H, W]` → `[B, H·W, D]`. */
function channelsLast({ data, shape }: Expected): Float32Array {
  const [, channels, height, columns] = shape as readonly [number, number, number, number];
  const places = height * columns;
  return data.map((_, at) => {
    const [picture, place, channel] = [Math.floor(at / channels / places), Math.floor(at / channels), at % channels];
    return data[(picture * channels + channel) * places + (place % places)]!;
  });
}

describe.skipIf(!hasShared).each(["vit", "vit-gelu"])("the tensors inside %s", (name) => {
  test("are the reference's, from the patches to the last normalisation", async () => {
    const { config, parameters } = await goldenModel(name);
    const activations = await golden(`models/${name}/activations`);
    const inputs = await golden(`models/${name}/inputs`);
    const [pixels, tokens] = [firstRows(inputs.get("images")!, 2), firstRows(inputs.get("tokens")!, 2)];
    const ids = { data: Int32Array.from(tokens.data as Float32Array), shape: tokens.shape };
    const feeds = Object.fromEntries(parameters);
    const p = Parameters.root();
    const towers = {
      image: await everyTensor(encodeImage(config, p, input("pixels", pixels.shape)), { ...feeds, pixels }),
      text: await everyTensor(encodeText(config, p, input("ids", ids.shape, "int32")), { ...feeds, ids }),
    };
    const endOfText = config.text.vocabularySize - 1;
    const length = ids.shape[1]!;
    const pooled = {
      image: [0, 0],
      text: [0, 1].map((row) => ids.data.subarray(row * length, (row + 1) * length).indexOf(endOfText)),
    };
    const layers = { image: config.image.kind === "vit" ? config.image.layers : 0, text: config.text.layers };

    /** What ours is to have for an activation of the reference. */
    const asOurs = (tower: "image" | "text", part: string, expected: Expected): Float32Array => {
      if (part === "conv1") return channelsLast(expected);
      // the last block and what follows are worked out for the pooled token alone
      if (part === `block${layers[tower] - 1}` || /ln_(post|final)/.test(part)) return rowsAt(expected, pooled[tower]);
      const norm = /^block0\.(ln_[12])$/.exec(part)?.[1];
      if (!norm) return expected.data;
      // gain and bias are in the weights behind a normalisation
      const scope = `${tower === "image" ? "visual." : ""}transformer.resblocks.0.${norm}`;
      const [gain, bias] = [parameters.get(`${scope}.weight`)!.data, parameters.get(`${scope}.bias`)!.data];
      return expected.data.map((v, i) => (v - bias[i % bias.length]!) / gain[i % gain.length]!);
    };
    expect(activations.size).toBeGreaterThan(17);
    for (const [key, expected] of activations) {
      const [tower, part] = [key.startsWith("image.") ? "image" : "text", key.replace(/^\w+\./, "")] as const;
      expect(nearest(towers[tower], asOurs(tower, part, expected)), key).toBeLessThan(TOLERANCE);
    }
  });
});

describe.skipIf(!hasShared).each([
  ["in use", "eval", 1],
  ["in training, where they depend on the whole batch", "train", 6],
] as const)("the tensors inside a ModifiedResNet %s", (_, mode, pictures) => {
  test("are the reference's, from the stem to the pool", async () => {
    const { config, parameters } = await goldenModel("resnet");
    const activations = await golden(`models/resnet/${mode}.activations`);
    const pixels = firstRows((await golden("models/resnet/inputs")).get("images")!, pictures);
    const p = Parameters.root({ training: mode === "train" });
    const tensors = await everyTensor(encodeImage(config, p, input("pixels", pixels.shape)), {
      ...Object.fromEntries(parameters),
      pixels,
    });
    const ofFirst = tensors.map((tensor) => tensor.subarray(0, tensor.length / pictures));
    expect(activations.size).toBeGreaterThan(6);
    for (const [key, { data, shape }] of activations) {
      // The stem's normalisations are folded into its convolutions.
      const stem = /^conv(\d)$/.exec(key)?.[1];
      const folded = (name: string) => parameters.get(`visual.bn${stem}.${name}`)!.data;
      const places = shape[2]! * shape[3]!;
      const factor = (at: number) => {
        const channel = Math.floor(at / places);
        return folded("weight")[channel]! / Math.sqrt(folded("running_var")[channel]! + 1e-5);
      };
      const expected = stem ? data.map((v, at) => v * factor(at)) : data;
      expect(nearest(ofFirst, expected), key).toBeLessThan(TOLERANCE);
    }
  });
});
