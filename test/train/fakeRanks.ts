/** @file Ranks within one process: a collective ends when every rank has come to it. */
import type { Ranks } from "../../src/train/index.js";

type Numbers = Float32Array | Int32Array;

interface Meeting {
  readonly parts: Numbers[];
  readonly all: Promise<readonly Numbers[]>;
  readonly end: (parts: readonly Numbers[]) => void;
}

/** `size` ranks that know only each other. */
export function fakeRanks(size: number): Ranks[] {
  const meetings: Meeting[] = [];
  const open = (): Meeting => {
    let end: Meeting["end"] = () => {};
    const all = new Promise<readonly Numbers[]>((resolve) => {
      end = resolve;
    });
    return { parts: [], all, end };
  };
  return Array.from({ length: size }, (_, rank) => {
    let calls = 0;
    /** What all ranks brought to their n-th collective, in their order. */
    const meet = (part: Numbers): Promise<readonly Numbers[]> => {
      const number = calls++;
      meetings[number] ??= open();
      const { parts, all, end } = meetings[number];
      parts[rank] = part;
      if (Object.keys(parts).length === size) end(parts);
      return all;
    };
    return {
      rank,
      size,
      async allGather<T extends Numbers>(part: T): Promise<T> {
        const parts = await meet(part.slice());
        const all = part instanceof Int32Array ? Int32Array : Float32Array;
        return all.from(parts.flatMap((each) => [...each])) as T;
      },
      async sum(values) {
        const parts = await meet(values.slice());
        for (const i of values.keys()) values[i] = parts.reduce((total, each) => total + each[i]!, 0);
      },
      barrier: async () => {
        await meet(new Int32Array(0));
      },
      abort(reason) {
        throw new Error(reason);
      },
      dispose: async () => {},
    };
  });
}
