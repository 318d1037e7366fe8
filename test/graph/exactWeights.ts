/** @file Which 8-bit weights the machine that runs the tests sums exactly; beyond them a product is another number there. */
import { largestExactWeight } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";

/** 127; 63 on x86 without VNNI. */
export const largestWeight: 127 | 63 = await largestExactWeight(nodeRuntime({ threads: 1 }));
