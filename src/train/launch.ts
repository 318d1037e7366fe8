/**
 * @file Whether this process was started as one of several, and as which: what mpirun and srun leave in the environment.
 * Reads nothing else; MPI itself is `mpi.ts`'s.
 */

/** This process among those that were started together. */
export interface Launch {
  readonly by: "Open MPI" | "MPICH" | "Slurm";
  /** From 0. */
  readonly rank: number;
  readonly size: number;
  /** How many of them share this machine. */
  readonly localSize: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The first launcher whose `size` is set. Slurm stands before MPICH, whose variables `srun --mpi=pmi2` sets too. */
const launchers = [
  {
    by: "Open MPI",
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    localSize: "OMPI_COMM_WORLD_LOCAL_SIZE",
  },
  // "4(x2),3" is 4 tasks on two nodes and 3 on another. The step's variables: a batch script without srun is one process.
  { by: "Slurm", rank: "SLURM_PROCID", size: "SLURM_STEP_NUM_TASKS", localSize: "SLURM_STEP_TASKS_PER_NODE" },
  { by: "MPICH", rank: "PMI_RANK", size: "PMI_SIZE", localSize: "MPI_LOCALNRANKS" },
] as const;

/** Null where this process was started alone. */
export function launchOf(environment: Environment): Launch | null {
  for (const { by, ...names } of launchers) {
    const [rank, size, localSize] = [names.rank, names.size, names.localSize].map((name) =>
      Number.parseInt(environment[name] ?? "", 10),
    ) as [number, number, number];
    if (size > 1) return { by, rank, size, localSize: localSize || 1 };
  }
  return null;
}

/** This task of a Slurm job array (`sbatch --array=0-15`), whose tasks do not know each other. */
export function arrayTaskOf(environment: Environment): Pick<Launch, "rank" | "size"> | null {
  const [task, first, step, size] = ["ID", "MIN", "STEP", "COUNT"].map((name) =>
    Number.parseInt(environment[`SLURM_ARRAY_TASK_${name}`] ?? "", 10),
  ) as [number, number, number, number];
  return size > 1 ? { rank: (task - first) / (step || 1), size } : null;
}

/**
 * Threads for each of `localSize` processes on a machine of `cores`, of which this one may use `allowed`: mpirun may have
 * bound it to a few.
 */
export const threadsOf = (localSize: number, cores: number, allowed: number): number =>
  Math.max(1, Math.min(allowed, Math.floor(cores / localSize)));
