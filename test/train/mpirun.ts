/** @file Starts a script of `test/` on several ranks, under each MPI that this machine has. */
import { spawn, spawnSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import path from "node:path";
import type { Outcome } from "../cli/run.js";

export interface Launcher {
  readonly name: "Open MPI" | "MPICH";
  readonly command: string;
  readonly options: readonly string[];
  /** Options for these addresses, which `namespaces` makes. */
  between(hosts: string): readonly string[];
  /** Variables for the same. */
  readonly network: Readonly<Record<string, string>>;
}

/** Makes network namespaces, and starts what mpirun starts in them. */
export const namespaces = path.resolve(import.meta.dirname, "../../bench/namespaces.sh");

const known: readonly Launcher[] = [
  {
    name: "Open MPI",
    command: "mpirun.openmpi",
    options: ["--oversubscribe", "--bind-to", "none"],
    between: (hosts) => [
      ...["--host", hosts, "--mca", "plm_rsh_agent", namespaces],
      // TCP, also between processes that Open MPI knows to be on one machine
      ...["--mca", "pml", "ob1", "--mca", "btl", "tcp,self"],
      ...["--mca", "btl_tcp_if_include", "eth0", "--mca", "oob_tcp_if_include", "eth0"],
    ],
    network: {},
  },
  {
    name: "MPICH",
    command: "mpirun.mpich",
    options: [],
    between: (hosts) => ["-hosts", hosts, "-launcher", "ssh", "-launcher-exec", namespaces, "-iface", "eth0"],
    network: { UCX_TLS: "tcp,self", UCX_NET_DEVICES: "eth0" },
  },
];

/** As Debian names them, for both may be installed. */
export const launchers = known.filter(({ command }) => spawnSync(command, ["--version"]).status === 0);

/** For the name of a test that stands in for those of the launchers where there are none. */
export const noLauncher = "skipped: neither mpirun.openmpi nor mpirun.mpich is there";

/** A running `mpirun`. */
export interface Started {
  /** Resolves when what all ranks have written matches. */
  seen(pattern: RegExp): Promise<RegExpExecArray>;
  readonly outcome: Promise<Outcome>;
}

/** Starts `node …args` on so many ranks; `apart`: one half in a network namespace each. */
export function start(
  { command, options, between, network }: Launcher,
  ranks: number,
  args: readonly string[],
  { apart = false, env = {} }: { apart?: boolean; env?: Readonly<Record<string, string>> } = {},
): Started {
  const half = ranks / 2;
  const [program, first] = apart
    ? [namespaces, ["2", command, ...between(`10.77.0.1:${half},10.77.0.2:${half}`)]]
    : [command, []];
  const child = spawn(program, [...first, ...options, "-n", String(ranks), process.execPath, ...args], {
    env: {
      ...process.env,
      ...(apart && network),
      OMPI_ALLOW_RUN_AS_ROOT: "1",
      OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
      ...env,
    },
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
      if (child.exitCode !== null) throw new Error(`mpirun ended without ${pattern}:\n${written.stderr}`);
      await Promise.race([once(more, "text"), outcome]);
    }
  };
  return { seen, outcome };
}
