/**
 * @file Parts of downloads: `FILE.HOST-PID-RANDOM.incomplete`. The name says whose it is, so that a part whose process has
 * ended (interrupted by its user, say) is taken over by the next one, and never by two.
 */
import { randomUUID } from "node:crypto";
import { readdir, rename, stat } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";

const day = 24 * 3600 * 1000;
/** No process has it. */
const nobody = 0;

const partName = (place: string, pid: number): string => `${place}.${hostname()}-${pid}-${randomUUID()}.incomplete`;

/** A name for this process's part of `place`: that of a new file, or of one with what an ended process left. */
export async function claimPart(place: string): Promise<string> {
  const own = partName(place, process.pid);
  for (const name of await readdir(path.dirname(place))) {
    const left = path.join(path.dirname(place), name);
    if (!left.startsWith(`${place}.`) || !(await isAbandoned(left, left.slice(place.length + 1)))) continue;
    const isOurs = await rename(left, own).then(
      () => true,
      () => false, // another process was faster
    );
    if (isOurs) return own;
  }
  return own;
}

/** Leaves a part to whoever comes next. */
export const releasePart = (part: string, place: string): Promise<void> => rename(part, partName(place, nobody));

const ending = /^(?<host>.+)-(?<pid>\d+)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.incomplete$/;

async function isAbandoned(part: string, name: string): Promise<boolean> {
  const owner = ending.exec(name)?.groups;
  if (!owner) return false;
  if (owner.host === hostname() && !isAlive(Number(owner.pid))) return true;
  // Of other machines that share the folder nothing is known but time.
  const status = await stat(part).catch(() => null);
  return status !== null && Date.now() - status.mtimeMs > day;
}

function isAlive(pid: number): boolean {
  if (pid === nobody) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
