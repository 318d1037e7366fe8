/**
 * @file Pairs from tar shards as WebDataset lays them out: files of one sample share their path up to the first dot of the
 * file name ("00/7.jpg", "00/7.txt"). Shards stay where they are: opening one lists its headers, reading a sample reads
 * its bytes in place, behind http(s) too (`remote.ts`). The list takes about 300 bytes of memory a sample.
 * Leaves out several pictures in one sample.
 */
import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { endpointOfEnvironment, tokenOfEnvironment } from "../checkpoint/node.js";
import { DiptychError } from "../errors.js";
import { expandBraces } from "./braces.js";
import { classCaptions, plainTemplates, readCaptions } from "./captions.js";
import { classesOfFolders, labelFinder, readClasses } from "./classes.js";
import { limiter } from "./limit.js";
import { isMissing, isPicture, largestPicture } from "./pictureFile.js";
import { isRemote, remoteShards } from "./remote.js";
import { type ClassName, type Source, SourceUnavailable } from "./source.js";
import type { ShardsSpec } from "./spec.js";
import { readCaptionTable } from "./tableSource.js";
import { type ByteReader, tarMembers } from "./tar.js";

/** Where bytes lie in a shard. */
interface Span {
  readonly offset: number;
  readonly size: number;
}

/** The files of one sample, as far as they are of use. */
interface Member {
  readonly key: string;
  readonly shard: Shard;
  picture?: Span;
  txt?: Span;
  json?: Span;
  cls?: Span;
}

interface Shard {
  readonly name: string;
  readonly bytes: ByteReader;
  close(): Promise<void>;
}

export interface ShardPictures {
  /** The samples' names in the shard. */
  readonly keys: readonly string[];
  /** What was passed over when it was opened, one sentence each. */
  readonly problems: readonly string[];
  /** The picture's file. */
  picture(index: number): Promise<Uint8Array>;
  captions(index: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

const listedAtATime = 8; // shards
const longestText = 4 * 1024 * 1024; // bytes of one sample's caption file

/**
 * Opens shards. `base` is the folder that relative paths start from. A shard that is cut short keeps the samples before
 * the cut; what is passed over stands in `problems`.
 * @throws DiptychError "MissingFile", "MissingClasses", "UnknownClass", and a table's
 */
export async function openShards(spec: ShardsSpec, base: string): Promise<Source> {
  const shards: Shard[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(shards.map((shard) => shard.close()));
  };
  try {
    const openShard = await shardOpener(spec, base);
    for (const name of [spec.shards].flat().flatMap(expandBraces)) shards.push(await openShard(name));
    return { ...(await listShards(shards, spec, base)), name: [spec.shards].flat().join(", "), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One shard's pictures in its order, whether or not they have captions. */
export async function openShardPictures(name: string, base = process.cwd()): Promise<ShardPictures> {
  const spec = { shards: name };
  const shard = await (await shardOpener(spec, base))(name);
  const { members, problems } = await shardMembers(shard);
  const kept = [...members].filter(({ picture }) => picture);
  return {
    keys: kept.map(({ key }) => key),
    problems,
    picture: (index) => readPicture(kept[index]!),
    captions: async (index) => (captionSpan(kept[index]!, spec) ? memberCaptions(kept[index]!, spec) : []),
    close: () => shard.close(),
  };
}

async function shardOpener({ cache }: ShardsSpec, base: string): Promise<(name: string) => Promise<Shard>> {
  const connection = { endpoint: endpointOfEnvironment(), token: await tokenOfEnvironment() };
  const openRemote = remoteShards(connection, cache && path.resolve(base, cache));
  return async (name) => {
    if (!isRemote(name)) return openFile(name, path.resolve(base, name));
    const remote = await openRemote(name);
    return "file" in remote ? openFile(name, remote.file) : { name, ...remote, close: async () => {} };
  };
}

async function openFile(name: string, file: string): Promise<Shard> {
  try {
    const handle = await open(file);
    return { name, bytes: byteReader(handle, (await handle.stat()).size), close: () => handle.close() };
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    throw new DiptychError("MissingFile", `The shard ${file} cannot be read.`, "Check its path.", { cause });
  }
}

function byteReader(file: FileHandle, size: number): ByteReader {
  return {
    size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await file.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    },
  };
}

async function listShards(
  shards: readonly Shard[],
  spec: ShardsSpec,
  base: string,
): Promise<Omit<Source, "name" | "close">> {
  const problems: string[] = [];
  const members: Member[] = [];
  const inTurn = limiter(listedAtATime);
  for (const listed of await Promise.all(shards.map((shard) => inTurn(() => shardMembers(shard))))) {
    for (const member of listed.members) members.push(member);
    problems.push(...listed.problems);
  }

  if (spec.classes !== undefined || spec.templates !== undefined) return classSamples(members, spec, base, problems);
  if (spec.captions !== undefined) {
    const table = await readCaptionTable(spec.captions, base);
    const texts = (member: Member): readonly string[] | undefined => table.captions.get(member.key);
    const kept = complete(members, (member) => texts(member) !== undefined, "captions in the table", problems);
    return captioned(kept, async (member) => texts(member)!, [...problems, ...table.problems]);
  }
  const kept = complete(members, (member) => captionSpan(member, spec) !== undefined, "captions", problems);
  return captioned(kept, (member) => memberCaptions(member, spec), problems);
}

/** Groups a shard's files by sample. */
async function shardMembers(shard: Shard): Promise<{ members: Iterable<Member>; problems: readonly string[] }> {
  const members = new Map<string, Member>();
  const problems: string[] = [];
  try {
    for await (const { name, offset, size } of tarMembers(shard.bytes, shard.name)) {
      const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
      if (dot < 0) continue;
      const key = name.slice(0, dot);
      const extension = name.slice(dot + 1).toLowerCase();
      const member: Member = members.get(key) ?? { key, shard };
      members.set(key, member);
      if (isPicture(extension)) member.picture = { offset, size };
      else if (extension === "txt" || extension === "json" || extension === "cls") member[extension] = { offset, size };
    }
  } catch (error) {
    if (!(error instanceof DiptychError) || error instanceof SourceUnavailable) throw error;
    problems.push(error.problem);
  }
  return { members: members.values(), problems };
}

/** The members that can be learned from; how many cannot, and why, goes to `problems`. */
function complete(
  members: readonly Member[],
  hasText: (member: Member) => boolean,
  what: string,
  problems: string[],
): Member[] {
  const report = (bad: readonly Member[], lack: string): void => {
    if (bad.length)
      problems.push(`${bad.length} of ${members.length} samples have no ${lack} (the first is ${nameOf(bad[0]!)}).`);
  };
  report(
    members.filter((member) => !member.picture),
    "picture",
  );
  report(
    members.filter((member) => member.picture && !hasText(member)),
    what,
  );
  return members.filter((member) => member.picture && hasText(member));
}

const nameOf = ({ key, shard }: Member): string => `${key} in ${shard.name}`;

/** The reference's preference where a sample has both: the text; the JSON is then about where it came from. */
function captionSpan(member: Member, spec: ShardsSpec): Span | undefined {
  return spec.caption === undefined ? (member.txt ?? member.json) : member.json;
}

async function memberCaptions(member: Member, spec: ShardsSpec): Promise<string[]> {
  const span = captionSpan(member, spec)!;
  return readCaptions(
    await readSpan(member, span, longestText),
    span === member.json ? "json" : "txt",
    nameOf(member),
    spec.caption,
  );
}

/** @param most bytes that such a file may have */
async function readSpan(member: Member, { offset, size }: Span, most: number): Promise<Uint8Array> {
  const bytes = size <= most ? await member.shard.bytes.read(offset, size) : null;
  if (bytes?.length === size) return bytes;
  const problem = bytes
    ? `${member.shard.name} became shorter.`
    : `${nameOf(member)} has a file of ${size} bytes, and ${most} is the most.`;
  throw new DiptychError("UnreadableSample", problem, "Pack the shard again.");
}

const readPicture = (member: Member): Promise<Uint8Array> => readSpan(member, member.picture!, largestPicture);

function captioned(
  members: readonly Member[],
  captions: (member: Member) => Promise<readonly string[]>,
  problems: readonly string[],
): Omit<Source, "name" | "close"> {
  return {
    length: members.length,
    classes: [],
    problems,
    read: async (index) => {
      const member = members[index]!;
      const [image, texts] = await Promise.all([readPicture(member), captions(member)]);
      return { key: nameOf(member), image, captions: texts };
    },
    captions: (index) => captions(members[index]!),
  };
}

/** Samples whose class is their `.cls` entry or the folder that they lie in. */
async function classSamples(
  members: readonly Member[],
  spec: ShardsSpec,
  base: string,
  problems: string[],
): Promise<Omit<Source, "name" | "close">> {
  const kept = complete(members, () => true, "class", problems);
  const keys: string[] = [];
  for (const member of kept) keys.push(member.cls ? await classEntry(member, member.cls) : folderOf(member.key));
  const classes: ClassName[] =
    spec.classes === undefined ? classesOfFolders(keys) : await readClasses(spec.classes, base);
  const labelOf = labelFinder(classes);
  const labels = Int32Array.from(kept, (member, i) => labelOf(keys[i]!, nameOf(member)));

  const captionsOfLabel = classCaptions(classes, spec.templates ?? plainTemplates);
  return {
    length: kept.length,
    classes,
    problems,
    read: async (index) => {
      const member = kept[index]!;
      const label = labels[index]!;
      const image = await readPicture(member);
      return { key: nameOf(member), image, captions: captionsOfLabel[label]!, label };
    },
    captions: async (index) => captionsOfLabel[labels[index]!]!,
  };
}

async function classEntry(member: Member, span: Span): Promise<string> {
  return new TextDecoder().decode(await readSpan(member, span, 1024)).trim();
}

const folderOf = (key: string): string => key.split("/").at(-2) ?? "";
