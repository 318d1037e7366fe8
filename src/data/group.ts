/**
 * @file Which rows of a batch say the same. Two pictures with one caption are no negatives of each other; nor are two whose
 * captions of this epoch differ but come from the same list (two pictures of a class, two artists' emoji).
 * A row stands for itself by two 64-bit hashes, of what it says and of what it could say, so that processes which hold
 * parts of a batch agree after exchanging 16 bytes a row. Of 32,768 rows two others meet once in 3·10¹⁰ batches.
 */
import { createHash } from "node:crypto";

/** Numbers of a row's keys: two hashes of two numbers each. */
const keyLength = 4;

/** A batch's keys `[B, 4]`. */
export function rowKeys(rows: readonly { readonly says: string; readonly couldSay: string }[]): Int32Array {
  const keys = new Int32Array(rows.length * keyLength);
  for (const [i, { says, couldSay }] of rows.entries()) keys.set([...hash(says), ...hash(couldSay)], i * keyLength);
  return keys;
}

function hash(text: string): [number, number] {
  const digest = createHash("sha256").update(text).digest();
  return [digest.readInt32LE(0), digest.readInt32LE(4)];
}

/**
 * Numbers the rows so that rows which share a hash, directly or through others, share a number: that of their first row.
 * @param keys `[B, 4]`, of all processes that share the batch
 */
export function groupRows(keys: Int32Array): Int32Array {
  const parent = Int32Array.from({ length: keys.length / keyLength }, (_, row) => row);
  const root = (row: number): number => {
    let at = row;
    while (parent[at] !== at) at = parent[at] = parent[parent[at]!]!;
    return at;
  };
  const firstWith = new Map<string, number>();
  for (const row of parent.keys()) {
    const [a, b, c, d] = keys.subarray(row * keyLength, (row + 1) * keyLength);
    for (const key of [`says ${a} ${b}`, `could say ${c} ${d}`]) {
      const other = firstWith.get(key);
      if (other === undefined) firstWith.set(key, row);
      else {
        const [first, second] = [root(row), root(other)];
        parent[Math.max(first, second)] = Math.min(first, second);
      }
    }
  }
  return parent.map((_, row) => root(row));
}
