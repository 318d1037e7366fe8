/**
 * @file Which rows of a batch say the same. Two pictures with one caption are no negatives of each other; nor are two whose
 * captions of this epoch differ but come from the same list (two pictures of a class, two artists' emoji).
 */

/**
 * Numbers the rows so that rows which share a key, directly or through others, share a number: that of their first row.
 * @param keys for each row, what it may share with another
 */
export function groupRows(keys: readonly (readonly string[])[]): Int32Array {
  const parent = Int32Array.from(keys, (_, row) => row);
  const root = (row: number): number => {
    let at = row;
    while (parent[at] !== at) at = parent[at] = parent[parent[at]!]!;
    return at;
  };
  const firstWith = new Map<string, number>();
  for (const [row, ofRow] of keys.entries()) {
    for (const [kind, key] of ofRow.entries()) {
      const tagged = `${kind} ${key}`;
      const other = firstWith.get(tagged);
      if (other === undefined) firstWith.set(tagged, row);
      else {
        const [a, b] = [root(row), root(other)];
        parent[Math.max(a, b)] = Math.min(a, b);
      }
    }
  }
  return parent.map((_, row) => root(row));
}
