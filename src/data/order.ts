/**
 * @file The order of an epoch and the choice of a caption, computed instead of drawn: pure functions of (seed, epoch,
 * index), so a resumed run continues bit for bit and nothing has to be stored.
 * A Feistel network (Luby & Rackoff 1988) over pairs of digits in base a = ⌈√n⌉ permutes 0 … a² − 1; a result of n or more
 * is sent through again ("cycle walking": Black & Rogaway 2002, "Ciphers with arbitrary finite domains").
 * Leaves out cryptographic strength: the round function is a 32-bit mixer.
 */
import { randomStream } from "../image/index.js";

const rounds = 6;

/**
 * The pseudo-random order of an epoch: maps a position 0 … length − 1 to a sample's index, each exactly once.
 * Takes no memory; since a² < n + 2√n + 1, hardly any result has to be sent through again.
 */
export function epochPermutation(seed: number, epoch: number, length: number): (position: number) => number {
  const base = Math.ceil(Math.sqrt(length));
  const random = randomStream([seed, epoch]);
  const keys = Array.from({ length: rounds }, () => Math.floor(random() * 2 ** 32));
  const shuffle = (value: number): number => {
    let left = Math.floor(value / base);
    let right = value % base;
    for (const key of keys) [left, right] = [right, (left + mix(right, key)) % base];
    return left * base + right;
  };
  return (position) => {
    if (!(Number.isInteger(position) && position >= 0 && position < length)) {
      throw new RangeError(`Position ${position} is outside an epoch of ${length} samples.`);
    }
    let value = shuffle(position);
    while (value >= length) value = shuffle(value);
    return value;
  };
}

/** 32 bits that depend on every bit of `value` and `key`: MurmurHash3's finaliser. */
function mix(value: number, key: number): number {
  let hash = Math.imul(value, 0x9e3779b1) ^ key;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Which of a sample's captions this epoch uses. */
export function chooseCaption(captions: readonly string[], seed: number, epoch: number, index: number): string {
  const random = randomStream([seed, epoch, index, captionStream]);
  return captions[Math.floor(random() * captions.length)]!;
}

/** Keeps the choice apart from the augmentation, which is computed from (seed, epoch, index) alone. */
const captionStream = 1;
