/**
 * @file The machine's own MPI library, called through koffi. Open MPI and MPICH (Intel MPI and MVAPICH keep MPICH's ABI)
 * have the same functions with other handles: Open MPI's are addresses of exported variables, MPICH's are integers
 * (its `mpi.h`). Leaves out all of MPI that `mpi.ts` does not call.
 */
import { constants } from "node:os";
import { promisify } from "node:util";
import type { LibraryHandle } from "koffi";
import { DiptychError } from "../errors.js";
import type { Launch } from "./launch.js";

type Handle = number | bigint;
type Argument = Handle | Int32Array | Float32Array | Uint8Array | null;

/** What a function of MPI takes: `data` is an array or null, `count` a C int, `handle` of the library's own kind. */
const signatures = {
  MPI_Get_library_version: ["data", "data"],
  MPI_Init_thread: ["data", "data", "count", "data"],
  MPI_Comm_set_errhandler: ["handle", "handle"],
  MPI_Comm_rank: ["handle", "data"],
  MPI_Comm_size: ["handle", "data"],
  MPI_Error_string: ["count", "data", "data"],
  MPI_Barrier: ["handle"],
  MPI_Allgather: ["data", "count", "handle", "data", "count", "handle", "handle"],
  MPI_Reduce_scatter: ["data", "data", "data", "handle", "handle", "handle"],
  MPI_Allgatherv: ["data", "count", "handle", "data", "data", "data", "handle", "handle"],
  MPI_Abort: ["handle", "count"],
  MPI_Finalize: [],
} as const;
type FunctionName = keyof typeof signatures;

/** Handle → its variable in Open MPI, its value in MPICH. */
const handles = {
  world: ["ompi_mpi_comm_world", 0x44000000],
  float: ["ompi_mpi_float", 0x4c00040a],
  byte: ["ompi_mpi_byte", 0x4c00010d],
  sum: ["ompi_mpi_op_sum", 0x58000003],
  errorsReturn: ["ompi_mpi_errors_return", 0x54000001],
} as const;

export interface MpiLibrary {
  /** As it calls itself: "Open MPI v4.1.4, …". */
  readonly name: string;
  readonly handles: Readonly<Record<keyof typeof handles, Handle>>;
  /** Calls on this thread. @throws DiptychError "MpiFailed" */
  call(name: FunctionName, ...given: readonly Argument[]): void;
  /** Calls on another thread. The arrays are read and written meanwhile. */
  later(name: FunctionName, ...given: readonly Argument[]): Promise<void>;
}

/** Names of the libraries: by version first, which is there without development packages. */
const libraries = {
  "Open MPI": ["libmpi.so.40", "libmpi.so", "libmpi.dylib"],
  MPICH: ["libmpich.so.12", "libmpi.so.12", "libmpich.so", "libmpi.dylib"],
  Slurm: ["libmpi.so.40", "libmpich.so.12", "libmpi.so.12", "libmpi.so"],
} as const;

/** @throws DiptychError "MissingPackage" without koffi, "NoMpi" without a library */
export async function openMpiLibrary(by: Launch["by"], chosen = process.env.DIPTYCH_MPI): Promise<MpiLibrary> {
  const { default: koffi } = await import("koffi").catch((cause: unknown) => {
    const problem = `This process was started by ${by} among others, and the package koffi, which calls MPI, is missing.`;
    throw new DiptychError("MissingPackage", problem, "npm install koffi", { cause });
  });
  // A collective of tens of megabytes needs more than koffi's 128 KiB of stack on its own threads.
  koffi.config({ async_stack_size: 4 << 20 });
  // UCX, which may carry the messages, watches the process's heap by replacing sbrk and the like, and with Node's threads
  // parts of the heap in use have gone missing under it. Its cache of registered memory is off without.
  process.env.UCX_MEM_EVENTS ??= "no";
  const names = chosen ? [chosen] : libraries[by];
  const { RTLD_LAZY, RTLD_GLOBAL } = constants.dlopen;
  const keep = koffi.load(null).func("void *dlopen(const char *name, int flags)");
  const library = firstOf(names, (name) => {
    const opened = koffi.load(name);
    // Global, for its plug-ins look for its names; and never closed, for its threads outlive what koffi closes at the end.
    keep(name, RTLD_LAZY | RTLD_GLOBAL);
    return opened;
  });
  if (!library) {
    throw new DiptychError(
      "NoMpi",
      `This process was started by ${by}, and none of ${names.join(", ")} can be loaded.`,
      "Install openmpi-bin or mpich, or name the library in the environment variable DIPTYCH_MPI.",
    );
  }
  return bind(library);
}

function bind(library: LibraryHandle): MpiLibrary {
  const addressOf = (name: string): bigint | undefined => firstOf([name], (each) => library.symbol(each) as bigint);
  const isOpenMpi = addressOf(handles.world[0]) !== undefined;
  const types = { data: "void *", count: "int", handle: isOpenMpi ? "void *" : "int" };
  const bound = (name: FunctionName) =>
    library.func(
      name,
      "int",
      signatures[name].map((kind) => types[kind]),
    );
  const functions = Object.fromEntries(Object.keys(signatures).map((name) => [name, bound(name as FunctionName)])) as {
    readonly [Name in FunctionName]: ReturnType<typeof bound>;
  };
  const text = (name: "MPI_Get_library_version" | "MPI_Error_string", ...before: readonly number[]): string => {
    const bytes = new Uint8Array(8192); // MPI_MAX_LIBRARY_VERSION_STRING is the longest of both
    const length = new Int32Array(1);
    functions[name](...before, bytes, length);
    return new TextDecoder().decode(bytes.subarray(0, length[0])).replaceAll("\0", "").trim();
  };
  const check = (name: FunctionName, code: number): void => {
    if (code === 0) return;
    const problem = `${name} failed: ${text("MPI_Error_string", code)}.`;
    throw new DiptychError("MpiFailed", problem, "Look for the process that failed first, and resume the run.");
  };
  const inUse = new Set<readonly Argument[]>(); // what only C refers to would be collected
  return {
    name: text("MPI_Get_library_version").split("\n")[0] ?? "",
    handles: Object.fromEntries(
      Object.entries(handles).map(([key, [variable, value]]) => [key, isOpenMpi ? addressOf(variable) : value]),
    ) as MpiLibrary["handles"],
    call: (name, ...given) => check(name, functions[name](...given) as number),
    async later(name, ...given) {
      inUse.add(given);
      try {
        check(name, (await promisify(functions[name].async)(...given)) as number);
      } finally {
        inUse.delete(given);
      }
    },
  };
}

/** What `open` gives for the first of `names` that it does not throw for. */
function firstOf<T>(names: readonly string[], open: (name: string) => T): T | undefined {
  for (const name of names) {
    try {
      return open(name);
    } catch {}
  }
  return undefined;
}
