/** @file Every loss against PyTorch's own functions (`losses-reference.py`): the whole batch in one graph. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { batchLoss, type Objective, similarity } from "../../src/clip/index.js";
import { add, gradient, input } from "../../src/graph/index.js";
import type { TensorData } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { relativeDifference } from "./goldenModel.js";

const runtime = nodeRuntime({ threads: 1 });

interface Reference {
  readonly pairs: number;
  readonly width: number;
  readonly group: readonly number[];
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly teachers: Readonly<Record<string, readonly [readonly number[], readonly number[]]>>;
  readonly cases: readonly {
    readonly name: string;
    readonly objective: Objective;
    readonly teacher: string | null;
    readonly loss: number;
    readonly gradients: Readonly<Record<string, readonly number[]>>;
  }[];
}
const reference = JSON.parse(await readFile(new URL("losses.json", import.meta.url), "utf8")) as Reference;

describe.each(reference.cases)("$name", ({ objective, teacher, loss, gradients }) => {
  test("loss and every gradient agree", async () => {
    const { pairs, width } = reference;
    const matrix = (values: readonly number[]): TensorData => ({
      data: Float32Array.from(values),
      shape: values.length === 1 ? [] : [pairs, values.length / pairs],
    });
    const inputs = {
      image: input("image", [pairs, width]),
      text: input("text", [pairs, width]),
      logit_scale: input("logit_scale", []),
      logit_bias: input("logit_bias", []),
    };
    const logits = add(similarity(inputs.image, inputs.text, inputs.logit_scale), inputs.logit_bias);
    const group = input("group", [pairs], "int32");
    const total = batchLoss({ imageFeatures: inputs.image, textFeatures: inputs.text, logits, group }, objective);
    const slopes = gradient(total, Object.values(inputs));
    const names = Object.keys(inputs);
    const program = await runtime.compile({
      loss: total,
      ...Object.fromEntries(names.map((name, i) => [`d ${name}`, slopes[i]!])),
    });
    const [teacherImage, teacherText] = reference.teachers[teacher ?? "same"]!;
    const results = await program.run({
      ...Object.fromEntries(names.map((name) => [name, matrix(reference.inputs[name]!)])),
      group: { data: Int32Array.from(reference.group), shape: [pairs] },
      teacher_image: matrix(teacherImage),
      teacher_text: matrix(teacherText),
    });
    await program.dispose();
    expect(Number(results.loss!.data[0]) / loss).toBeCloseTo(1, 5);
    for (const [name, expected] of Object.entries(gradients)) {
      const actual = results[`d ${name}`]!.data as Float32Array;
      // a softmax takes a bias away again: its gradient is zero but for rounding
      if (Math.abs(expected[0]!) < 1e-12) expect(Math.abs(actual[0]!), name).toBeLessThan(1e-6);
      else expect(relativeDifference(actual, expected), name).toBeLessThan(1e-5);
    }
  });
});
