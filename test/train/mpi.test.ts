/** @file Ranks over MPI: collectives, and what happens when one of them ends. A run on ranks is `ranks.test.ts`'s. */
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import { arrayTaskOf, launchOf, openRanks, threadsOf } from "../../src/train/index.js";
import { alone } from "../../src/train/ranks.js";
import { launchers, libraryOf, noLauncher, start } from "./mpirun.js";

const script = path.join(import.meta.dirname, "collectives.mjs");

describe.each(launchers)("$name", (launcher) => {
  test("collectives give all ranks the same, in the order in which they were asked for", async () => {
    const size = 3;
    const { code, stdout, stderr } = await start(launcher, size, [script, "collectives"]).outcome;
    expect([code, stderr]).toEqual([0, ""]);
    const numbers = Array.from({ length: size }, (_, rank) => rank);
    const results = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(results.map(({ rank }) => rank).sort()).toEqual(numbers);
    for (const { rank, ...result } of results) {
      expect(result).toEqual({
        size,
        floats: numbers.flatMap((r) => [r, r + 0.5]),
        ints: numbers.flatMap((r) => [0 - r, 2 ** 30 + r]),
        sums: results[0].sums, // the same bits on every rank
        turned: true,
        gathered: numbers,
        sum: (size * (size - 1)) / 2,
      });
      for (const { error } of result.sums) expect(error).toBeLessThan(1e-6);
    }
  });

  test("a rank that cannot go on ends all of them with its message", async () => {
    const { code, stderr } = await start(launcher, 3, [script, "abort"]).outcome;
    expect(code).not.toBe(0);
    expect(stderr).toContain("rank 1: the disk is full\n");
  });

  test("a rank that is killed ends all of them", async () => {
    const started = start(launcher, 3, [script, "wait"]);
    process.kill(Number((await started.seen(/^\d+$/m))[0]), "SIGKILL");
    const { code, stdout, stderr } = await started.outcome;
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(launcher.killed);
  });

  test("a library of another launcher is an error that names both", async () => {
    const other = libraryOf[launcher.mpi === "MPICH" ? "Open MPI" : "MPICH"];
    const { code, stderr } = await start(launcher, 2, [script, "collectives"], { env: { DIPTYCH_MPI: other } }).outcome;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(launchers.some(({ mpi }) => mpi !== launcher.mpi) ? launcher.otherLibrary : /NoMpi/);
  });
});

if (launchers.length === 0) test.skip(noLauncher, () => {});

describe("what the launcher says", () => {
  const variables = {
    "Open MPI": {
      OMPI_COMM_WORLD_RANK: "3",
      OMPI_COMM_WORLD_SIZE: "8",
      OMPI_COMM_WORLD_LOCAL_SIZE: "4",
      PMIX_RANK: "3",
    },
    MPICH: { PMI_RANK: "3", PMI_SIZE: "8", MPI_LOCALNRANKS: "4" },
    Slurm: {
      SLURM_PROCID: "3",
      SLURM_STEP_NUM_TASKS: "8",
      SLURM_STEP_TASKS_PER_NODE: "4(x2)",
      PMI_RANK: "3",
      PMI_SIZE: "8",
    },
  };
  test.each(Object.entries(variables))("%s", (by, environment) => {
    expect(launchOf(environment)).toEqual({ by, rank: 3, size: 8, localSize: 4 });
  });

  test("one process, a Slurm script without srun and a plain shell are alone", async () => {
    for (const environment of [{ OMPI_COMM_WORLD_SIZE: "1" }, { SLURM_PROCID: "0", SLURM_NTASKS: "8" }, {}]) {
      expect(launchOf(environment)).toBe(null);
      expect(await openRanks(environment)).toBe(alone);
    }
  });

  test("tasks of a Slurm array are counted from 0", () => {
    const task = (id: string, step: string) =>
      arrayTaskOf({
        SLURM_ARRAY_TASK_ID: id,
        SLURM_ARRAY_TASK_MIN: "5",
        SLURM_ARRAY_TASK_STEP: step,
        SLURM_ARRAY_TASK_COUNT: "3",
      });
    expect(task("5", "1")).toEqual({ rank: 0, size: 3 });
    expect(task("9", "2")).toEqual({ rank: 2, size: 3 });
    expect(arrayTaskOf({})).toBe(null);
  });

  test("ranks of one machine share its cores, within those that they are bound to", () => {
    expect(threadsOf(4, 64, 64)).toBe(16);
    expect(threadsOf(1, 64, 1)).toBe(1);
    expect(threadsOf(4, 2, 2)).toBe(1);
  });

  test("a missing library is named, and so is a missing package", async () => {
    vi.stubEnv("DIPTYCH_MPI", "libnone.so.7");
    await expect(openRanks(variables["Open MPI"])).rejects.toMatchObject({
      code: "NoMpi",
      problem: "This process was started by Open MPI, and none of libnone.so.7 can be loaded.",
    });
    vi.doMock("koffi", () => {
      throw new Error("Cannot find package 'koffi'");
    });
    await expect(openRanks(variables["Open MPI"])).rejects.toMatchObject({
      code: "MissingPackage",
      remedy: "npm install koffi",
    });
    vi.doUnmock("koffi");
    vi.unstubAllEnvs();
  });
});
