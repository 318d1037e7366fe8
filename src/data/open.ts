/**
 * @file Opens what a recipe's `data` says.
 */
import { DiptychError } from "../errors.js";
import { openFolder } from "./folderSource.js";
import { openShards } from "./shardSource.js";
import { joinSources, type Source } from "./source.js";
import { type OneSourceSpec, parseSourceSpec } from "./spec.js";
import { openTable } from "./tableSource.js";

/**
 * Opens one source, or several joined.
 * @param spec a SourceSpec, perhaps straight from a user's JSON
 * @param base folder that relative paths start from (a recipe's own)
 * @param each what is done to each source before they are joined
 * @throws DiptychError "EmptySource" when nothing can be learned from, "InvalidSource", "UnknownOption", "MissingFile", …
 */
export async function openSource(
  spec: unknown,
  base = process.cwd(),
  each: (source: Source) => Promise<Source> = async (source) => source,
): Promise<Source> {
  const specs = parseSourceSpec(spec);
  const parts: { source: Source; weight: number }[] = [];
  try {
    for (const one of specs) {
      const source = await openOne(one, base);
      const part = { source, weight: one.weight ?? 1 };
      parts.push(part);
      if (source.length === 0) {
        const problem = `${source.name} holds no pair to learn from. ${source.problems.join(" ")}`.trim();
        throw new DiptychError("EmptySource", problem, "Give pictures together with captions or classes.");
      }
      part.source = await each(source);
    }
  } catch (error) {
    await Promise.all(parts.map(({ source }) => source.close()));
    throw error;
  }
  const [first] = parts;
  return parts.length === 1 && first!.weight === 1 ? first!.source : joinSources(parts);
}

function openOne(spec: OneSourceSpec, base: string): Promise<Source> {
  if ("shards" in spec) return openShards(spec, base);
  return "table" in spec ? openTable(spec, base) : openFolder(spec, base);
}
