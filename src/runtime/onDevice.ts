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
import { onnxModel, simplify, type Tensor } from "../graph/index.js";
import { createDeviceMemory, type WatchedSession } from "./deviceMemory.js";
import { type Device, devices } from "./devices.js";
import type { CompileOptions, Runtime } from "./index.js";
import { openProgram } from "./session.js";

/** Called once a program with the ONNX operators that the CPU did instead. */
export type OnCpuFallback = (operators: readonly string[]) => void;

/** @throws DiptychError from compiling: "NoDevice"; from the first run: "LeftToCpu", unless `onCpuFallback` is given. */
export function deviceRuntime(device: Exclude<Device, "cpu">, name: string, onCpuFallback?: OnCpuFallback): Runtime {
  const open = async (
    outputs: Readonly<Record<string, Tensor>>,
    locations: ort.InferenceSession.SessionOptions["preferredOutputLocation"],
    constants?: CompileOptions["constants"],
  ): Promise<WatchedSession> => {
    // Portable: not every provider has ONNX Runtime's own operators, which would go to the CPU.
    const model = onnxModel(simplify(outputs), { form: "portable", ...(constants && { constants }) });
    const folder = await mkdtemp(path.join(tmpdir(), "diptych-profile-"));
    let session: ort.InferenceSession;
    try {
      session = await ort.InferenceSession.create(model, {
        executionProviders: [device],
        logSeverityLevel: 4,
        enableProfiling: true,
        profileFilePrefix: path.join(folder, "run"),
        ...(locations && { preferredOutputLocation: locations }),
      });
    } catch (cause) {
      await rm(folder, { recursive: true });
      const reason = cause instanceof Error ? cause.message.trim().split("\n")[0] : String(cause);
      throw new DiptychError("NoDevice", `The device "${device}" cannot be used: ${reason}.`, devices[device], {
        cause,
      });
    }
    return watched(session, device, folder, onCpuFallback);
  };
  return {
    name,
    async compile(outputs, { constants } = {}) {
      const { session, check, close } = await open(outputs, undefined, constants);
      const program = openProgram(ort, session);
      return {
        async run(feeds, into) {
          const results = await program.run(feeds, into);
          check();
          return results;
        },
        dispose: close,
      };
    },
    ...(device === "webgpu" && { memory: createDeviceMemory(ort, open) }),
  };
}

/** Looks at what the first run's profile, the only file in `folder`, says. */
function watched(
  session: ort.InferenceSession,
  device: Device,
  folder: string,
  onCpuFallback?: OnCpuFallback,
): WatchedSession {
  let left: readonly string[] | undefined;
  return {
    session,
    check() {
      if (!left) {
        session.endProfiling();
        left = leftToCpu(readFileSync(path.join(folder, readdirSync(folder)[0]!), "utf8"));
        if (left.length > 0) onCpuFallback?.(left);
      }
      if (left.length === 0 || onCpuFallback) return;
      throw new DiptychError(
        "LeftToCpu",
        `The device "${device}" cannot do ${left.join(", ")}, and ONNX Runtime did that on the CPU.`,
        "Take another device, or allow the CPU's help: --cpu-fallback, onCpuFallback.",
      );
    },
    async close() {
      await session.release();
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
