import { expect, test } from "vitest";
import { input, mul } from "../../src/graph/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { leftToCpu } from "../../src/runtime/onDevice.js";

test.skipIf(process.platform === "darwin")(
  "a device that is not there is an error that says what it needs",
  async () => {
    await expect(nodeRuntime({ device: "coreml" }).compile({ y: mul(input("x", ["B"]), 2) })).rejects.toMatchObject({
      code: "NoDevice",
      problem: expect.stringContaining('"coreml"'),
      remedy: expect.stringContaining("Mac"),
    });
  },
);

test("numbers that the CPU worked out for a device are a fall-back; counting is not", () => {
  const event = (op_name: string, provider: string, type: string) => ({
    cat: "Node",
    name: `${op_name}_v0_kernel_time`,
    args: { op_name, provider: `${provider}ExecutionProvider`, output_type_shape: [{ [type]: [2, 3] }] },
  });
  const profile = [
    { cat: "Session", name: "session_initialization" },
    event("Gemm", "WebGpu", "float"),
    event("Erf", "CPU", "float"),
    event("Erf", "CPU", "float"),
    event("Concat", "CPU", "int64"),
  ];
  expect(leftToCpu(JSON.stringify(profile))).toEqual(["Erf"]);
});
