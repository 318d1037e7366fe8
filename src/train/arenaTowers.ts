/** @file Towers whose parameters and gradients lie in arenas; their programs read and write views of those. */
import { type Layout, partsOf } from "./arena.js";
import { towerFeeds } from "./batch.js";
import { averagesOf, gradientOf, type Model } from "./differentiate.js";
import type { Ranks } from "./ranks.js";
import { belongsTo, sofarOf, type Towers, towerPrograms } from "./towers.js";

export function createArenaTowers(model: Model, layout: Layout, ranks: Ranks): Towers {
  const { config, arena, gradients } = model;
  const compile = (outputs: Parameters<Model["compile"]>[0]) => model.compile(outputs, { givesBack: true });
  const programs = towerPrograms(model, { encode: compile, backward: compile });
  const parameters = Object.fromEntries(model.parameters);
  const named = (name: (of: string) => string) =>
    Object.fromEntries(Array.from(gradients, ([of, view]) => [name(of), view]));
  const [sofar, into] = [named(sofarOf), named(gradientOf)];
  return {
    async begin(ofNoTower) {
      arena.fill(0);
      for (const [name, slope] of ofNoTower) gradients.get(name)?.data.fill(slope);
    },
    async encode(side, part, features) {
      const { encode } = await programs.of(side, part);
      return averagesOf(await encode.run({ ...parameters, ...towerFeeds(config, part) }, { features }));
    },
    async backward(side, part, upstream) {
      const { backward } = await programs.of(side, part);
      await backward?.run({ ...parameters, ...sofar, ...towerFeeds(config, part), upstream }, into);
    },
    async sumOverRanks(side) {
      for (const [from, to] of partsOf(layout, (name) => belongsTo(side, name))) {
        await ranks.sum(arena.subarray(from, to));
      }
    },
    dispose: programs.dispose,
  };
}
