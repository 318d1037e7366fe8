/**
 * @file Names of shards written short, as WebDataset and the shell write them: "cc3m-{000..331}.tar", "{train,extra}.tar".
 */
import { DiptychError } from "../errors.js";

const mostNames = 1_000_000;

/**
 * All names that a pattern stands for, in order. A range keeps the zero padding of its first number.
 * @throws DiptychError "TooManyShards" for a pattern of over a million names.
 */
export function expandBraces(pattern: string): string[] {
  const match = /\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}/.exec(pattern);
  if (!match) return [pattern];
  const [whole, first, last, list] = match;
  const before = pattern.slice(0, match.index);
  const rests = expandBraces(pattern.slice(match.index + whole.length));
  const count = list === undefined ? Math.abs(Number(last) - Number(first)) + 1 : 0;
  if (count * rests.length > mostNames) {
    throw new DiptychError("TooManyShards", `"${pattern}" stands for over a million shards.`, "Write a shorter range.");
  }
  return (list?.split(",") ?? range(first!, last!)).flatMap((middle) => rests.map((rest) => before + middle + rest));
}

function range(first: string, last: string): string[] {
  const [from, to] = [Number(first), Number(last)];
  const step = from <= to ? 1 : -1;
  return Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => String(from + i * step).padStart(first.length, "0"));
}
