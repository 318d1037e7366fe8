/**
 * @file The one error class for what a user gave and Diptych cannot accept.
 * A message says what was wrong and where; the remedy says what to do. Anything else that is thrown is a bug of ours.
 */

/** An error about the user's input: `code` is stable and may be matched; `message` ends with the remedy. */
export class DiptychError extends Error {
  override readonly name = "DiptychError";

  constructor(
    readonly code: string,
    /** One sentence: what is wrong, and where. */
    readonly problem: string,
    /** One sentence: what to do about it. */
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(`${code}: ${problem} ${remedy}`, options);
  }
}

/** The name of `known` that is closest to `given` by edit distance, for "did you mean" in errors. */
export function nearestName(given: string, known: readonly string[]): string | undefined {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
      }
      row = next;
    }
    return row[b.length]!;
  };
  return [...known].sort((a, b) => distance(given, a) - distance(given, b))[0];
}
