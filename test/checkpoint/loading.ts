/**
 * @file Run as a process of its own, so that nothing else is in its memory: loads the checkpoint given as argument and
 * prints the numbers that it holds and the largest resident size in bytes that there ever was.
 */
import { loadCheckpoint } from "../../src/checkpoint/node.js";

const { parameters } = await loadCheckpoint(process.argv[2]!);
const numbers = [...parameters.values()].reduce((sum, { data }) => sum + data.length, 0);
console.log(JSON.stringify({ numbers, peak: process.resourceUsage().maxRSS * 1024 }));
