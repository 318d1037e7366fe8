/**
 * @file How fast a CLIP trains: pairs a second and GFLOP/s of Diptych's training step in fp32 and int8, beside the
 * machine's own ceiling and PyTorch's step of the same model in fp32 and bfloat16, in turns; then where the time goes.
 * usage: node bench/train.mjs [--rounds 3] [--blocks-only]   (`--blocks-only`: forward and backward of the picture
 * tower's blocks, nothing else)
 */
import path from "node:path";
import { parseArgs } from "node:util";
import { blocksFlops, stepFlops } from "./flops.mjs";
import { batch, model } from "./trainingModel.mjs";
import { inTurns, output, report, table } from "./turns.mjs";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, "blocks-only": { type: "boolean", default: false } },
});
const blocksOnly = values["blocks-only"];
const flags = blocksOnly ? ["--blocks-only"] : [];
const here = import.meta.dirname;
const scripts = path.resolve(process.env.DIPTYCH_BENCH_SCRIPTS ?? path.join(here, "../../shared/bench"));

const measurements = await inTurns(
  [
    { name: "ceiling", command: [process.execPath, path.join(here, "ceiling.mjs")] },
    { name: "Diptych", command: [process.execPath, path.join(here, "trainDiptych.mjs"), ...flags] },
    {
      name: "PyTorch",
      command: [process.env.DIPTYCH_BENCH_PYTHON ?? "python3", path.join(scripts, "torch_train.py"), ...flags],
      absent:
        "Name a Python that has torch in DIPTYCH_BENCH_PYTHON and torch_train.py's folder in DIPTYCH_BENCH_SCRIPTS.",
    },
  ],
  Number(values.rounds),
);

const { image, text, embedSize } = model;
const tokens = 1 + (image.imageSize / image.patchSize) ** 2;
const picture = { width: image.width, layers: image.layers, patch: image.patchSize, tokens };
const caption = { width: text.width, layers: text.layers, tokens: text.contextLength };
const flops = blocksOnly ? blocksFlops(picture) : stepFlops({ picture, text: caption, embed: embedSize, batch });

const ceiling = measurements.find(({ system }) => system === "ceiling").median;
const torch = (precision) => measurements.find(({ system, what }) => system === "PyTorch" && what === precision);
const besides = (precision) => (one) =>
  torch(precision) && one.system !== "ceiling" ? (one.median / torch(precision).median).toFixed(2) : "";
const gigaflops = (one) => (one.system === "ceiling" ? one.median : (one.median * flops) / 1e9);

console.log(
  blocksOnly
    ? `${image.layers} blocks of width ${image.width}, ${tokens} tokens, batch ${batch}: forward and backward`
    : `A training step (loss, gradients, AdamW): ViT ${image.width}×${image.layers}, ${tokens} tokens; text ${text.width}×${text.layers}, ${text.contextLength} tokens; batch ${batch}`,
);
console.log(
  `${(flops / 1e9).toFixed(3)} GFLOP of matrix products a pair: 3 · layers · (24·T·D² + 4·T²·D) a tower, and what bench/flops.mjs adds.\nPairs a second; the ceiling in GFLOP/s.\n`,
);
report(measurements, {
  "GFLOP/s": (one) => gigaflops(one).toFixed(0),
  "of the ceiling": (one) => `${((100 * gigaflops(one)) / ceiling).toFixed(0)}%`,
  "× PyTorch fp32": besides("fp32"),
  "× PyTorch bf16": besides("bf16"),
});

if (!blocksOnly) {
  const lines = (await output([process.execPath, path.join(here, "trainShares.mjs")])).trim().split("\n");
  const shares = lines.map((line) => JSON.parse(line));
  const kinds = ["products", "elementwise", "rounding", "other", "waiting"];
  const percent = (share) => `${(100 * share).toFixed(1)}%`;
  console.log(
    "\nShares of a step: matrix products, elementwise, rounding to integers, all other; waiting for data in a run\n",
  );
  console.log(
    table([["", ...kinds], ...shares.map((one) => [one.precision, ...kinds.map((kind) => percent(one[kind]))])]),
  );
}
