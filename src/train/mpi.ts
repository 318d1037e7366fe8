/**
 * @file Ranks over MPI. Collectives run on another thread, one after the other in the order in which they were asked for,
 * so that this thread may compute meanwhile.
 */
import { writeSync } from "node:fs";
import { DiptychError } from "../errors.js";
import { type Launch, launchOf } from "./launch.js";
import { openMpiLibrary } from "./mpiLibrary.js";
import { alone, type Ranks } from "./ranks.js";

/** MPI_THREAD_SERIALIZED, MPI_THREAD_MULTIPLE: the same in both libraries. */
const [SERIALIZED, MULTIPLE] = [2, 3];

/** Numbers that one collective sums: few, so that their sums take little memory; many, so that it goes on while a program blocks this thread. */
const PORTION = 1 << 23;

/** The ranks that this process was started among by mpirun or srun; `alone` where it was started by itself. */
export async function openRanks(environment = process.env): Promise<Ranks> {
  const launch = launchOf(environment);
  return launch ? connect(launch) : alone;
}

async function connect({ by, size: expected }: Launch): Promise<Ranks> {
  const mpi = await openMpiLibrary(by);
  const { world, float, byte, sum, errorsReturn } = mpi.handles;
  const number = (ask: (into: Int32Array) => void): number => {
    const into = new Int32Array(1);
    ask(into);
    return into[0] ?? 0;
  };
  const threads = number((provided) => mpi.call("MPI_Init_thread", null, null, MULTIPLE, provided));
  mpi.call("MPI_Comm_set_errhandler", world, errorsReturn);
  const rank = number((into) => mpi.call("MPI_Comm_rank", world, into));
  const size = number((into) => mpi.call("MPI_Comm_size", world, into));
  if (size !== expected) {
    throw new DiptychError(
      "OtherMpi",
      `${by} started ${expected} processes, and to ${mpi.name} this one is ${size === 1 ? "alone" : `one of ${size}`}.`,
      "Start with the mpirun of that library (srun: --mpi=pmix or pmi2), or name the launcher's in DIPTYCH_MPI.",
    );
  }
  if (threads < SERIALIZED) {
    throw new DiptychError("OtherMpi", `${mpi.name} was built without threads.`, "Use a build that has them.");
  }

  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(collective: () => Promise<T>): Promise<T> => {
    const turn = last.then(collective);
    last = turn.catch(() => {}); // told to whoever asked for it
    return turn;
  };

  /**
   * Each number is summed on one rank and copied to the others: the same bits everywhere by construction, which MPI does
   * not promise of its all-reduce, for the traffic of a ring all-reduce.
   */
  const sumPortion = async (values: Float32Array): Promise<void> => {
    const starts = Int32Array.from({ length: size + 1 }, (_, r) => Math.floor((r * values.length) / size));
    const counts = starts.slice(0, size).map((start, r) => (starts[r + 1] ?? 0) - start);
    const own = new Float32Array(counts[rank] ?? 0);
    await mpi.later("MPI_Reduce_scatter", values, own, counts, float, sum, world);
    await mpi.later("MPI_Allgatherv", own, own.length, float, values, counts, starts, float, world);
  };

  return {
    rank,
    size,
    allGather: (part) =>
      inTurn(async () => {
        const all =
          part instanceof Float32Array ? new Float32Array(size * part.length) : new Int32Array(size * part.length);
        await mpi.later("MPI_Allgather", part, part.byteLength, byte, all, part.byteLength, byte, world);
        return all as typeof part;
      }),
    sum: (values) =>
      inTurn(async () => {
        for (let start = 0; start < values.length; start += PORTION) {
          await sumPortion(values.subarray(start, start + PORTION));
        }
      }),
    barrier: () => inTurn(() => mpi.later("MPI_Barrier", world)),
    abort(reason) {
      writeSync(2, `rank ${rank}: ${reason}\n`);
      // MPICH's launcher drops what it has not read yet when it ends the ranks
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
      mpi.call("MPI_Abort", world, 1);
    },
    dispose: () => inTurn(async () => mpi.call("MPI_Finalize")),
  };
}
