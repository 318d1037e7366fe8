/**
 * @file Random numbers as a function of what they are for: the same tuple (seed, epoch, index) gives the same stream, on
 * any worker, in any order. The generator is Chris Doty-Humphrey's sfc32 (PractRand), seeded by a hash of the tuple.
 */

/** A stream of uniform numbers in [0, 1), 32 bits each, that depends on nothing but `seed`: integers of up to 53 bits. */
export function randomStream(seed: readonly number[]): () => number {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = 0xb7e15162;
  let counter = 1;
  for (const value of seed) {
    for (const word of [value >>> 0, Math.floor(value / 2 ** 32) >>> 0]) {
      a = mix(a ^ word);
      b = mix(b + a + word);
      c = mix(c ^ b);
    }
  }
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  // The first outputs still show the seed; PractRand discards as many.
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** MurmurHash3's finaliser: every input bit reaches every output bit. */
function mix(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
