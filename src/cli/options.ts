/** @file What several commands ask for in the same words, and the CLIP that they open by it. */
import { Command, InvalidArgumentError, Option } from "commander";
import { type Checkpoint, loadCheckpoint } from "../checkpoint/node.js";
import { type Activation, activationSchema } from "../clip/index.js";
import { type Device, deviceNames, type Precision } from "../runtime/index.js";
import type { Clip } from "../tasks/index.js";
import { type LoadClipOptions, loadClip } from "../tasks/node.js";
import { defaultModel } from "./defaultModel.js";
import { withDownloadBar } from "./downloadBar.js";
import { notice } from "./output.js";
import { threadsHere } from "./ranks.js";

export interface DeviceOptions {
  readonly device: Device;
  readonly cpuFallback?: true;
}

export interface ModelOptions extends DeviceOptions {
  readonly model: string;
  readonly activation?: Activation;
  readonly precision?: Precision;
}

/** A command that answers with a model: `--model`, `--activation`, `--device`, `--precision`, `--json`. */
export function modelCommand(name: string): Command {
  return new Command(name)
    .addOption(
      new Option("-m, --model <name>", "a checkpoint: its folder, its file of weights, or its published name").default(
        defaultModel,
        "the model in the box",
      ),
    )
    .addOption(activationOption())
    .addOption(deviceOption())
    .addOption(cpuFallbackOption())
    .addOption(new Option("--precision <name>", "int8: faster on CPUs, nearly the same").choices(["fp32", "int8"]))
    .option("--json", "print one JSON document");
}

export const activationOption = (): Option =>
  new Option("--activation <name>", "for weights that do not say it themselves").choices(activationSchema.options);

export const deviceOption = (): Option =>
  new Option("--device <name>", "what computes").choices(deviceNames).default("cpu");

export const cpuFallbackOption = (): Option =>
  new Option("--cpu-fallback", "let the CPU do what the device cannot, and say what that is; else it is an error");

/** The runtime's part of the options. */
export const runtimeOptions = ({ device, cpuFallback }: DeviceOptions) => ({
  threads: threadsHere(),
  device,
  ...(cpuFallback && {
    onCpuFallback: (operators: readonly string[]) => notice(`on the CPU instead of ${device}: ${operators.join(", ")}`),
  }),
});

/** The checkpoint as its files say it is, downloaded first where a published name is given. */
export function openCheckpoint(given: string, activation: Activation | undefined): Promise<Checkpoint> {
  return withDownloadBar((shown) => loadCheckpoint(given, { ...(activation && { activation }), ...shown }));
}

/** Opens the model, gives it to `use`, and ends it whatever happens. */
export async function withClip(
  options: ModelOptions,
  use: (clip: Clip) => Promise<void>,
  more: Pick<LoadClipOptions, "projection"> = {},
): Promise<void> {
  const activation = options.activation && { activation: options.activation };
  const precision = options.precision && { precision: options.precision };
  const clip = await withDownloadBar((shown) =>
    loadClip(options.model, { ...runtimeOptions(options), ...activation, ...precision, ...shown, ...more }),
  );
  if (options.device !== "cpu") notice(`computing on ${options.device}`);
  try {
    await use(clip);
  } finally {
    await clip.dispose();
  }
}

/** An option that may be given several times. */
export const repeatable = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** A whole number of at least zero. */
export function wholeNumber(value: string): number {
  return value === "0" ? 0 : count(value);
}

/** A whole number of at least one. */
export function count(value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidArgumentError("It must be a whole number of at least 1.");
  return Number(value);
}
