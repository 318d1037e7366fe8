/** @file Starts a script of `test/` on several ranks, under each MPI that this machine has, by mpirun and, where Slurm runs, by srun. */
import { spawn, spawnSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import path from "node:path";
import type { Outcome } from "../cli/run.js";

export interface Launcher {
  readonly name: string;
  readonly mpi: "Open MPI" | "MPICH";
  readonly command: string;
  readonly options: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What it says when rank 1 was killed. */
  readonly killed: RegExp;
  /** What is said where the other MPI's library is named. */
  readonly otherLibrary: RegExp;
  readonly apart?: {
    /** Options for these addresses, which `namespaces` makes. */
    between(hosts: string): readonly string[];
    /** Variables for the same. */
    readonly network: Readonly<Record<string, string>>;
  };
}

export const libraryOf = { "Open MPI": "libmpi.so.40", MPICH: "libmpich.so.12" } as const;

/** Makes network namespaces, and starts what mpirun starts in them. */
export const namespaces = path.resolve(import.meta.dirname, "../../bench/namespaces.sh");

const otherLibrary = /OtherMpi: .* started 2 processes/;
const srun = { command: "srun", killed: /task 1: Killed/ } as const;
const stepOptions = ["--kill-on-bad-exit=1", "--overcommit"];

const known: readonly Launcher[] = [
  {
    name: "Open MPI",
    mpi: "Open MPI",
    command: "mpirun.openmpi",
    options: ["--oversubscribe", "--bind-to", "none"],
    env: { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" },
    killed: /rank 1 .* exited on signal 9/,
    otherLibrary,
    apart: {
      between: (hosts) => [
        ...["--host", hosts, "--mca", "plm_rsh_agent", namespaces],
        // TCP, also between processes that Open MPI knows to be on one machine
        ...["--mca", "pml", "ob1", "--mca", "btl", "tcp,self"],
        ...["--mca", "btl_tcp_if_include", "eth0", "--mca", "oob_tcp_if_include", "eth0"],
      ],
      network: {},
    },
  },
  {
    name: "MPICH",
    mpi: "MPICH",
    command: "mpirun.mpich",
    options: [],
    killed: /PID \d+/, // of a process that has ended, which may be one that it ended itself
    otherLibrary,
    apart: {
      between: (hosts) => ["-hosts", hosts, "-launcher", "ssh", "-launcher-exec", namespaces, "-iface", "eth0"],
      network: { UCX_TLS: "tcp,self", UCX_NET_DEVICES: "eth0" },
    },
  },
  { ...srun, name: "Slurm with Open MPI", mpi: "Open MPI", options: ["--mpi=pmix", ...stepOptions], otherLibrary },
  {
    ...srun,
    name: "Slurm with MPICH",
    mpi: "MPICH",
    options: ["--mpi=pmi2", ...stepOptions],
    env: { DIPTYCH_MPI: libraryOf.MPICH },
    otherLibrary: /launched using "srun"/, // Open MPI's own word
  },
];

/** As Debian names them, for both may be installed; srun is there on any machine that can ask a cluster, whose nodes may be busy. */
export const launchers = known.filter(({ command, options }) => {
  const asked = command === "srun" ? [...options, "--immediate=5", "-n", "1", "true"] : ["--version"];
  return spawnSync(command, asked, { timeout: 15_000 }).status === 0;
});

/** For the name of a test that stands in for those of the launchers where there are none. */
export const noLauncher = "skipped: none of mpirun.openmpi, mpirun.mpich and a running Slurm is there";

/** A running launcher. */
export interface Started {
  /** Resolves when what all ranks have written matches. */
  seen(pattern: RegExp): Promise<RegExpExecArray>;
  readonly outcome: Promise<Outcome>;
}

/** Starts `node …args` on so many ranks; `apart`: one half in a network namespace each. */
export function start(
  { command, options, env: own, apart: separate }: Launcher,
  ranks: number,
  args: readonly string[],
  { apart = false, env = {} }: { apart?: boolean; env?: Readonly<Record<string, string>> } = {},
): Started {
  const half = ranks / 2;
  const [program, first] =
    apart && separate
      ? [namespaces, ["2", command, ...separate.between(`10.77.0.1:${half},10.77.0.2:${half}`)]]
      : [command, []];
  const child = spawn(program, [...first, ...options, "-n", String(ranks), process.execPath, ...args], {
    env: { ...process.env, ...(apart && separate?.network), ...own, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const written = { stdout: "", stderr: "" };
  const more = new EventEmitter();
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      written[stream] += text;
      more.emit("text");
    });
  }
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject).on("close", (code) => resolve({ code, ...written }));
  });
  const seen = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(written.stdout + written.stderr);
      if (match) return match;
      if (child.exitCode !== null) throw new Error(`${command} ended without ${pattern}:\n${written.stderr}`);
      await Promise.race([once(more, "text"), outcome]);
    }
  };
  return { seen, outcome };
}
