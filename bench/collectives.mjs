/**
 * @file How long a step's collectives take against their size: between ranks on this machine, and, for root, between
 * network namespaces, whose links may be slowed down.
 * usage: node bench/collectives.mjs [--ranks 2] [--rate 1gbit]
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    ranks: { type: "string", default: "2" },
    rate: { type: "string", default: "1gbit" },
  },
});
const size = Number(values.ranks);
const rank = [process.execPath, path.join(import.meta.dirname, "collectivesRank.mjs")];
const namespaces = path.join(import.meta.dirname, "namespaces.sh");
const addresses = Array.from({ length: size }, (_, i) => `10.77.0.${i + 1}`).join(",");

const launchers = [
  {
    name: "Open MPI",
    command: ["mpirun.openmpi", "--oversubscribe", "--bind-to", "none"],
    apart: [
      ...["--host", addresses, "--mca", "plm_rsh_agent", namespaces, "--mca", "pml", "ob1", "--mca", "btl", "tcp,self"],
      ...["--mca", "btl_tcp_if_include", "eth0", "--mca", "oob_tcp_if_include", "eth0"],
    ],
  },
  {
    name: "MPICH",
    command: ["mpirun.mpich"],
    apart: ["-hosts", addresses, "-launcher", "ssh", "-launcher-exec", namespaces, "-iface", "eth0"],
    env: { UCX_TLS: "tcp,self", UCX_NET_DEVICES: "eth0" },
  },
];
const places = [
  { name: "one machine" },
  { name: "namespaces", apart: true },
  { name: `namespaces at ${values.rate}`, apart: true, env: { RATE: values.rate } },
];

for (const launcher of launchers) {
  for (const place of places) {
    const title = `${launcher.name}, ${size} ranks, ${place.name}`;
    const { error, status, stdout, stderr } = measure(launcher, place);
    if (status === 0) report(title, JSON.parse(stdout));
    else console.log(`${title}: left out. ${(error?.message ?? stderr).trim()}\n`);
  }
}

function measure({ command, apart, env }, place) {
  const [program, ...rest] = place.apart
    ? [namespaces, String(size), ...command, ...apart, "-n", String(size), ...rank]
    : [...command, "-n", String(size), ...rank];
  const asRoot = { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  return spawnSync(program, rest, {
    env: { ...process.env, ...asRoot, ...(place.apart && env), ...place.env },
    encoding: "utf8",
  });
}

/** Bandwidth: what each rank sends, 2·(1 − 1/n) of the bytes summed and (1 − 1/n) of those gathered, by the time. */
function report(title, measured) {
  console.log(`${title}\n     bytes   all-gather            all-reduce`);
  const share = 1 - 1 / size;
  const column = (microseconds, sent) =>
    `${microseconds.toFixed(0).padStart(9)} µs ${(sent / microseconds / 1000).toFixed(3).padStart(7)} GB/s`;
  for (const { bytes, gather, sum } of measured) {
    console.log(`${String(bytes).padStart(10)} ${column(gather, bytes * share)} ${column(sum, 2 * bytes * share)}`);
  }
  console.log();
}
