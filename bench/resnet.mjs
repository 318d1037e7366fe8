/**
 * @file How fast CLIPs with a ModifiedResNet train: pairs a second of a step (loss, gradients, AdamW) in fp32, beside
 * PyTorch's step of open_clip's model in both of its memory layouts, in turns. usage: node bench/resnet.mjs [--rounds 3]
 */
import path from "node:path";
import { parseArgs } from "node:util";
import { besideDiptych, inTurns, report } from "./turns.mjs";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "3" } } });
const here = import.meta.dirname;
const torch = (...flags) => ({
  command: [process.env.DIPTYCH_BENCH_PYTHON ?? "python3", path.join(here, "resnet_torch.py"), ...flags],
  absent: "Name a Python that has torch and open_clip_torch in DIPTYCH_BENCH_PYTHON.",
});
const measurements = await inTurns(
  [
    { name: "Diptych", command: [process.execPath, path.join(here, "resnetDiptych.mjs")] },
    { name: "PyTorch", ...torch() },
    { name: "PyTorch, channels last", ...torch("--channels-last") },
  ],
  Number(values.rounds),
);

console.log("A training step (loss, gradients, AdamW) in fp32: pairs a second.\n");
report(measurements, besideDiptych(measurements));
