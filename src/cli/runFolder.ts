/** @file A run's folder as the story that its page tells. Reading again reads only what was added since. */
import { open, readFile } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../errors.js";
import {
  type RunStory,
  type StoryPair,
  type StoryProbe,
  type StoryRemark,
  type StoryStep,
  type StoryValidation,
  stateOf,
} from "../report/index.js";

/** Answers with the folder's state at the time of each call. */
export type StoryReader = () => Promise<Omit<RunStory, "state">>;

/** Files that are not there yet are empty: a run may be about to begin. */
export function followRun(folder: string): StoryReader {
  const at = (file: string): string => path.join(folder, file);
  const steps = followLines<StoryStep>(at("log.jsonl"));
  const remarks = followLines<StoryRemark>(at("remarks.jsonl"));
  const validations = followLines<StoryValidation>(at("validation.jsonl"));
  const probes = followLines<StoryProbe>(at("probe.jsonl"));
  const readAll: StoryReader = async () => ({
    name: path.basename(path.resolve(folder)),
    recipe: await readJson<RunStory["recipe"]>(at("recipe.json"), {}),
    steps: await steps(),
    remarks: await remarks(),
    validations: await validations(),
    pairs: await readJson<readonly StoryPair[]>(at("probe.json"), []),
    probes: await probes(),
  });
  let underWay: ReturnType<StoryReader> | undefined;
  return () => {
    underWay ??= readAll().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** @throws DiptychError "NoRun" */
export async function readRun(folder: string): Promise<RunStory> {
  const story = await followRun(folder)();
  if (story.steps.length === 0)
    throw new DiptychError("NoRun", `${folder} has no log of a run (log.jsonl).`, "Name the folder of a run.");
  return { ...story, state: stateOf(story, "unfinished") };
}

/** The whole lines of a growing file; a file that became shorter is read anew. */
function followLines<T>(file: string): () => Promise<readonly T[]> {
  let lines: T[] = [];
  let offset = 0;
  return async () => {
    const handle = await open(file).catch(() => null);
    if (!handle) return lines;
    try {
      const { size } = await handle.stat();
      if (size < offset) [lines, offset] = [[], 0];
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - offset), 0, size - offset, offset);
      const whole = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1;
      offset += whole;
      for (const line of buffer.toString("utf8", 0, whole).split("\n")) if (line) lines.push(JSON.parse(line) as T);
      return lines;
    } finally {
      await handle.close();
    }
  };
}

/** Also `otherwise` while the file is being written. */
async function readJson<T>(file: string, otherwise: T): Promise<T> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as T;
  } catch {
    return otherwise;
  }
}
