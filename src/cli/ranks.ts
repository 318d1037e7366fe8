/** @file What a command does as one of several processes that mpirun or srun started. */
import { availableParallelism, cpus, hostname } from "node:os";
import { DiptychError } from "../errors.js";
import { launchOf, openRanks, type Ranks, threadsOf } from "../train/index.js";
import { notice } from "./output.js";

/** Threads for this process's share of the machine. */
export const threadsHere = (): number =>
  threadsOf(launchOf(process.env)?.localSize ?? 1, cpus().length, availableParallelism());

/** Opens the ranks and gives them to `use`. What one of them throws ends all, with that one's message. */
export async function withRanks(use: (ranks: Ranks) => Promise<void>): Promise<void> {
  const ranks = await openRanks();
  const several = ranks.size > 1;
  // Launchers name a process that died by its number, MPICH's by nothing else.
  if (several) {
    notice(`rank ${ranks.rank} of ${ranks.size}: process ${process.pid} on ${hostname()}, ${threadsHere()} threads`);
  }
  try {
    await use(ranks);
  } catch (error) {
    if (several) ranks.abort(error instanceof DiptychError ? error.message : String((error as Error).stack ?? error));
    throw error;
  }
  await ranks.dispose();
}
