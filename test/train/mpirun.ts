/** @file Starts a script of `test/` on several ranks, under each MPI that this machine has. */
import { spawn, spawnSync } from "node:child_process";
import type { Outcome } from "../cli/run.js";

export interface Launcher {
  readonly name: "Open MPI" | "MPICH";
  readonly command: string;
  readonly options: readonly string[];
}

const known: readonly Launcher[] = [
  { name: "Open MPI", command: "mpirun.openmpi", options: ["--oversubscribe", "--bind-to", "none"] },
  { name: "MPICH", command: "mpirun.mpich", options: [] },
];

/** As Debian names them, for both may be installed. */
export const launchers = known.filter(({ command }) => spawnSync(command, ["--version"]).status === 0);

/** For the name of a test that stands in for those of the launchers where there are none. */
export const noLauncher = "skipped: neither mpirun.openmpi nor mpirun.mpich is there";

/** A running `mpirun`. */
export interface Started {
  /** The first line that any rank writes to standard output. */
  readonly firstLine: Promise<string>;
  readonly outcome: Promise<Outcome>;
}

export function start(
  { command, options }: Launcher,
  ranks: number,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Started {
  const child = spawn(command, [...options, "-n", String(ranks), process.execPath, ...args], {
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const firstLine = new Promise<string>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.includes("\n")) resolve(stdout.slice(0, stdout.indexOf("\n")));
    });
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject).on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { firstLine, outcome };
}
