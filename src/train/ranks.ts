/**
 * @file The processes that train one model together, each on its share of every batch. What a training step asks of them;
 * `alone` is the one process that needs nobody.
 */
export interface Ranks {
  /** This process's number, from 0. */
  readonly rank: number;
  readonly size: number;
  /** The arrays of all ranks, of one length and type, one behind the other in the order of the ranks. */
  allGather<T extends Float32Array | Int32Array>(part: T): Promise<T>;
  /** Replaces `values` by their sum over all ranks, the same bits on each. Work may go on meanwhile, not on `values`. */
  sum(values: Float32Array): Promise<void>;
  /** Resolves when all ranks have come here. */
  barrier(): Promise<void>;
  /** Ends all ranks at once, with a message; for when this one cannot go on. */
  abort(reason: string): void;
  dispose(): Promise<void>;
}

export const alone: Ranks = {
  rank: 0,
  size: 1,
  allGather: async (part) => part,
  sum: async () => {},
  barrier: async () => {},
  abort: () => {},
  dispose: async () => {},
};
