/** @file The timed process of `resnet.mjs`: Diptych's training step of each ResNet. usage: node bench/resnetDiptych.mjs */
import { nodeRuntime } from "../dist/runtime/node.js";
import { bestSeconds } from "./measure.mjs";
import { createTrainer, randomPairs, resnets } from "./trainingModel.mjs";

for (const [what, { model, batch }] of Object.entries(resnets)) {
  const trainer = await createTrainer("fp32", nodeRuntime(), model, batch);
  const pairs = randomPairs(model, batch);
  console.log(JSON.stringify({ what, per_second: batch / (await bestSeconds(() => trainer.step(pairs, 5e-4), 5)) }));
  await trainer.dispose();
}
