/**
 * @file The diagnostician: looks at the last steps of a run and says what is wrong with it, why, and what to do. What it
 * knows is in `rules.ts`; here is when it speaks: once, and again only after the trouble was gone for a while.
 */
import type { Batch } from "../data/index.js";
import type { TrainingBatch } from "./batch.js";
import { type Moment, type Recalls, type Remark, type RunFacts, type Seen, windowSize } from "./remark.js";
import { rules } from "./rules.js";

/** Steps without a finding after which a rule may speak again. */
const quietSteps = 100;

export interface Monitor {
  /** What there is to say behind this step. */
  step(moment: Moment): Remark[];
  validated(recalls: Recalls): void;
}

/** @param said remarks of the run before it was resumed: they are not repeated. */
export function createMonitor(run: RunFacts, said: readonly Pick<Remark, "code" | "step">[] = []): Monitor {
  const window: Moment[] = [];
  const validations: Recalls[] = [];
  const foundAt = new Map(said.map(({ code, step }) => [code, step]));
  return {
    step(moment) {
      window.push(moment);
      if (window.length > windowSize) window.shift();
      const { step } = moment;
      return diagnose({ run, window, validations }).filter(({ code }) => {
        const before = foundAt.get(code);
        foundAt.set(code, step);
        return before === undefined || step - before > quietSteps;
      });
    },
    validated(recalls) {
      validations.push(recalls);
    },
  };
}

/** Everything that is wrong at the newest step of what was seen. */
export function diagnose(seen: Seen): Remark[] {
  const step = seen.window.at(-1)?.step ?? 0;
  return rules.flatMap(({ code, severity, finds }) => {
    const finding = finds(seen);
    return finding ? [{ code, severity, step, ...finding }] : [];
  });
}

/** How often a batch repeats itself. */
export function repetition({ group, checksums, size }: Pick<Batch & TrainingBatch, "group" | "checksums" | "size">) {
  const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
  const pairs = sum(counts(group).map((count) => count * (count - 1)));
  const twins = sum(counts(checksums).filter((count) => count > 1));
  return { sameCaption: size > 1 ? pairs / (size * (size - 1)) : 0, samePicture: twins / size };
}

/** How often each value occurs. */
function counts(values: Iterable<number>): number[] {
  const found = new Map<number, number>();
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
  return [...found.values()];
}
