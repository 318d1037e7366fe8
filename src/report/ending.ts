/**
 * @file How a run ended, from what it wrote: early stopping leaves no line of its own, but whether its patience ran out
 * is in the validations, by the rule of the run itself (`train/validation.ts`).
 */
import type { RunStory } from "./story.js";

type Told = Pick<RunStory, "recipe" | "steps" | "validations">;

/** The state of a run; `otherwise` where neither its last step nor its patience has come to an end. */
export function stateOf(told: Told, otherwise: "running" | "unfinished"): RunStory["state"] {
  const last = told.steps.at(-1);
  if (last && last.step + 1 === last.steps) return "finished";
  return whyStopped(told) === undefined ? otherwise : "stopped early";
}

/** Why a run ended before its last step, as a sentence; undefined where its patience has not run out. */
export function whyStopped({ recipe, steps, validations }: Told): string | undefined {
  const { validation } = recipe;
  if (typeof validation !== "object" || validation === null || !("patience" in validation)) return undefined;
  const { patience } = validation;
  // What was logged behind the last validation shows that the run went on, with more patience.
  if (typeof patience !== "number" || steps.at(-1)?.step !== validations.at(-1)?.step) return undefined;
  const best = validations.findLastIndex((one) => one.best);
  const since = validations.length - 1 - best;
  if (best < 0 || since < patience) return undefined;
  const count = since === 1 ? "One validation" : `${since} validations in a row`;
  const metric = "metric" in validation && typeof validation.metric === "string" ? validation.metric : "recall";
  const step = (validations[best]!.step + 1).toLocaleString("en");
  return `${count} brought no better ${metric} than behind step ${step}.`;
}
