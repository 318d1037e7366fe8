/** @file Whether another format can say what a config says: what is read back from it must be the same model. */
import { isDeepStrictEqual } from "node:util";
import type { ClipConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";

/** What the absence of a field means, where it is not false. */
const absent = {
  image: { epsilon: 1e-5, classToken: true, preNorm: true, pool: "token", projection: true },
  text: { epsilon: 1e-5, causal: true, padId: 0, pool: "largest", projection: "matrix" },
} as const;

/** Every field of a config by its path, those left out of it by what that means. */
function fields({ image, text, ...model }: ClipConfig): ReadonlyMap<string, unknown> {
  const filled: Readonly<Record<string, object>> = {
    "": model,
    "image.": { ...(image.kind === "vit" && absent.image), ...image },
    // what fills a text up is the tokenizer's affair, but where the tower itself looks for it
    "text.": { ...absent.text, activation: model.activation, ...text, ...(!text.classToken && { padId: 0 }) },
  };
  return new Map(
    Object.entries(filled).flatMap(([prefix, tower]) =>
      Object.entries(tower)
        .filter(([, value]) => value !== false)
        .map(([key, value]) => [prefix + key, value] as const),
    ),
  );
}

/** @throws DiptychError `CannotExpress` naming the first field that `format` cannot say. */
export function requireExpressed(config: ClipConfig, readBack: () => ClipConfig, format: string): void {
  const meant = fields(config);
  const said = fields(readOrRefuse(readBack, format));
  for (const key of new Set([...meant.keys(), ...said.keys()])) {
    if (isDeepStrictEqual(meant.get(key), said.get(key))) continue;
    throw cannotExpress(`${format} cannot say ${key} = ${JSON.stringify(meant.get(key) ?? false)} of this model.`);
  }
}

function readOrRefuse(readBack: () => ClipConfig, format: string): ClipConfig {
  try {
    return readBack();
  } catch (cause) {
    if (!(cause instanceof DiptychError)) throw cause;
    throw cannotExpress(`${format} cannot say this model: ${cause.problem}`, cause);
  }
}

export const cannotExpress = (problem: string, cause?: unknown) =>
  new DiptychError("CannotExpress", problem, "Save in another format; Diptych's own (diptych) holds every model.", {
    cause,
  });
