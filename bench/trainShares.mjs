/**
 * @file Where a training step's time goes, by ONNX Runtime's own profile of the step's programs, and how long a run waits
 * for its data. Prints one JSON line for each precision: shares of a step by kind of work, and of a run's steps `waiting`.
 * usage: node bench/trainShares.mjs
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import * as ort from "onnxruntime-node";
import sharp from "sharp";
import { createPicturePool } from "../dist/image/node.js";
import { nodeRuntime } from "../dist/runtime/node.js";
import { onnxRuntime } from "../dist/runtime/session.js";
import { parseRecipe, train } from "../dist/train/index.js";
import { batch, createTrainer, model, pairs } from "./trainingModel.mjs";

/** The first is not counted: it touches memory for the first time. */
const steps = 5;

const kinds = {
  products: ["Gemm", "MatMul", "FusedMatMul", "FusedGemm", "MatMulIntegerToFloat", "Conv"],
  rounding: ["QuantizeLinear", "ReduceMax", "ReduceMin"],
  elementwise: [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Max",
    "Sum",
    "Sqrt",
    "Exp",
    "Log",
    "Sigmoid",
    "Erf",
    "Tanh",
    "Relu",
  ],
};
const kindOf = new Map(Object.entries(kinds).flatMap(([kind, types]) => types.map((type) => [type, kind])));

/** Shares of a step's seconds; what no operator accounts for is "other" too. */
async function profile(precision, room) {
  const options = {
    executionProviders: ["cpu"],
    intraOpNumThreads: availableParallelism(),
    interOpNumThreads: 1,
    enableProfiling: true,
    profileFilePrefix: path.join(room, "profile"),
    logSeverityLevel: 3,
  };
  const runtime = onnxRuntime(ort, "profiled", options, true);
  const trainer = await createTrainer(precision, runtime);
  await trainer.step(pairs, 5e-4);
  const start = performance.now();
  for (let step = 1; step < steps; step++) await trainer.step(pairs, 5e-4);
  const total = (performance.now() - start) * 1000;
  await trainer.dispose(); // writes the profiles
  const shares = { products: 0, elementwise: 0, rounding: 0, other: 1 };
  for (const file of readdirSync(room).filter((name) => name.startsWith("profile"))) {
    const events = JSON.parse(readFileSync(path.join(room, file), "utf8"));
    const kernels = events.filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time"));
    for (const { dur, args } of kernels.slice(kernels.length / steps)) {
      const kind = kindOf.get(args.op_name);
      if (!kind) continue;
      shares[kind] += dur / total;
      shares.other -= dur / total;
    }
  }
  return shares;
}

/** Share of a step spent waiting in a run on JPEG files. */
async function waiting(precision, room) {
  const samples = 6 * batch;
  const size = model.image.imageSize;
  const file = (i) => path.join(room, `${i}.jpg`);
  for (let i = 0; i < samples; i++) {
    const grain = { type: "gaussian", mean: 128, sigma: 40 };
    await sharp({ create: { width: size, height: size, channels: 3, noise: grain } })
      .jpeg()
      .toFile(file(i));
  }
  const rows = Array.from({ length: samples }, (_, i) => `${i}.jpg,a photo of number ${i}`);
  writeFileSync(path.join(room, "captions.csv"), `filename,caption\n${rows.join("\n")}\n`);
  const recipe = parseRecipe({
    model,
    data: { table: "captions.csv" },
    tokenizer: { vocabularySize: 600 },
    batchSize: batch,
    epochs: 1,
    learningRate: 1e-4,
    warmup: 1,
    precision,
  });
  const pool = createPicturePool();
  const reports = [];
  const observers = [() => ({ onStep: (report) => reports.push(report) })];
  await train(recipe, { out: path.join(room, "run"), base: room, runtime: nodeRuntime(), pool, observers });
  await pool.dispose();
  const [, ...settled] = reports; // the first waits for the pool to start
  const sum = (f) => settled.reduce((total, report) => total + f(report), 0);
  return sum(({ waiting, seconds }) => waiting * seconds) / sum(({ seconds }) => seconds);
}

for (const precision of ["fp32", "int8"]) {
  const room = mkdtempSync(path.join(tmpdir(), "diptych-bench-"));
  try {
    const shares = { ...(await profile(precision, room)), waiting: await waiting(precision, room) };
    console.log(JSON.stringify({ precision, ...shares }));
  } finally {
    rmSync(room, { recursive: true });
  }
}
