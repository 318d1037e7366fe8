/**
 * @file Programs on a device other than the CPU. ONNX Runtime gives whatever a device's provider cannot do to the CPU and
 * does not say so; so the first run is profiled, and what the profile says was left to the CPU is told, or an error.
 * Counting along dimensions (integers) always stays on the CPU, and is no fall-back.
 */
import "./telemetry.js"; // before the library that it silences
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import * as ort from "onnxruntime-node";
import { DiptychError } from "../errors.js";
import { onnxModel, simplify } from "../graph/index.js";
import { type Device, devices } from "./devices.js";
import type { Program, Runtime } from "./index.js";
import { openProgram } from "./session.js";

/** Called once a program with the ONNX operators that the CPU did instead. */
export type OnCpuFallback = (operators: readonly string[]) => void;

/** @throws DiptychError from compiling: "NoDevice"; from the first run: "LeftToCpu", unless `onCpuFallback` is given. */
export const deviceRuntime = (
  device: Exclude<Device, "cpu">,
  name: string,
  onCpuFallback?: OnCpuFallback,
): Runtime => ({
  name,
  async compile(outputs, { constants } = {}) {
    // Portable: not every provider has ONNX Runtime's own operators, which would go to the CPU.
    const model = onnxModel(simplify(outputs), { form: "portable", ...(constants && { constants }) });
    const folder = await mkdtemp(path.join(tmpdir(), "diptych-profile-"));
    const options = { executionProviders: [device], logSeverityLevel: 4, enableProfiling: true } as const;
    let session: ort.InferenceSession;
    try {
      session = await ort.InferenceSession.create(model, { ...options, profileFilePrefix: path.join(folder, "run") });
    } catch (cause) {
      await rm(folder, { recursive: true });
      const reason = cause instanceof Error ? cause.message.trim().split("\n")[0] : String(cause);
      throw new DiptychError("NoDevice", `The device "${device}" cannot be used: ${reason}.`, devices[device], {
        cause,
      });
    }
    const endProfile = () => {
      session.endProfiling();
      return readFileSync(path.join(folder, readdirSync(folder)[0]!), "utf8");
    };
    return checked(openProgram(ort, session), device, { endProfile, folder }, onCpuFallback);
  },
});

function checked(
  program: Program,
  device: Device,
  { endProfile, folder }: { endProfile(): string; readonly folder: string },
  onCpuFallback?: OnCpuFallback,
): Program {
  let left: readonly string[] | undefined;
  return {
    async run(feeds, outputs) {
      const results = await program.run(feeds, outputs);
      if (!left) {
        left = leftToCpu(endProfile());
        if (left.length > 0) onCpuFallback?.(left);
      }
      if (left.length === 0 || onCpuFallback) return results;
      throw new DiptychError(
        "LeftToCpu",
        `The device "${device}" cannot do ${left.join(", ")}, and ONNX Runtime did that on the CPU.`,
        "Take another device, or allow the CPU's help: --cpu-fallback, onCpuFallback.",
      );
    },
    async dispose() {
      await program.dispose();
      await rm(folder, { recursive: true });
    },
  };
}

interface ProfileEvent {
  readonly args?: {
    readonly op_name?: string;
    readonly provider?: string;
    readonly output_type_shape?: readonly Readonly<Record<string, readonly number[]>>[];
  };
}

/** Names of the operators with floating-point results that ran on the CPU. @param profile as ONNX Runtime writes it */
export function leftToCpu(profile: string): string[] {
  const events = JSON.parse(profile) as readonly ProfileEvent[];
  const names = events.flatMap(({ args: { op_name, provider, output_type_shape = [] } = {} }) => {
    const floats = output_type_shape.some((output) => "float" in output);
    return op_name && provider === "CPUExecutionProvider" && floats ? [op_name] : [];
  });
  return [...new Set(names)].sort();
}
