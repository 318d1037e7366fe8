/**
 * @file What a user writes in a recipe to say where pairs come from: one schema a kind of source, checked with the
 * nearest known name for a misspelt key. A list of sources is joined.
 */
import { z } from "zod";
import { knownKeys } from "../checkpoint/index.js";
import { DiptychError, nearestName } from "../errors.js";

const templates = z.array(z.string().includes("{}", { message: 'a template needs "{}" where the name goes' })).min(1);
const separator = z.string().length(1);

/** Names of classes: a JSON file, or the same inline: `{ "n02124075": "Egyptian cat" }`, or a list in label order. A name
 * with commas stands for several ("cliff, drop"). */
const classes = z.union([
  z.string(),
  z.record(z.string(), z.union([z.string(), z.array(z.string())])),
  z.array(z.string()),
]);

/** Each sample of this source is taken so many times an epoch, also a fraction; 1 unless given. */
const weight = z.number().positive().max(10_000).optional();

const captionTable = {
  /** CSV, TSV or JSON lines, with a header row. */
  table: z.string(),
  /** Column of the picture's path (or its key in a shard); found by its usual names when absent. */
  picture: z.string().optional(),
  /** Column of the caption, in JSON lines also a list of captions. */
  caption: z.string().optional(),
  /** Detected from the header row when absent. */
  separator: separator.optional(),
};
const captionTableSchema = z.strictObject(captionTable);
export type CaptionTableSpec = z.infer<typeof captionTableSchema>;

const shardsSchema = z.strictObject({
  /** Tar files or their addresses, also with ranges: "cc3m-{000..331}.tar", "https://host/{train,extra}.tar". */
  shards: z.union([z.string(), z.array(z.string()).min(1)]),
  /** A folder for copies of shards behind http(s); without it they are read where they are, if the server gives ranges. */
  cache: z.string().optional(),
  /** Key of the caption in the samples' `.json`, when it is neither `caption` nor `captions`. */
  caption: z.string().optional(),
  /** Captions from a table beside the shards, by the samples' names. */
  captions: captionTableSchema.optional(),
  /** Captions from the sample's class: its `.cls`, or the folder it lies in. */
  classes: classes.optional(),
  templates: templates.optional(),
  weight,
});
export type ShardsSpec = z.infer<typeof shardsSchema>;

const tableSchema = z.strictObject({
  ...captionTable,
  /** The folder that paths in the table start from; the table's own when absent. */
  root: z.string().optional(),
  weight,
});
export type TableSpec = z.infer<typeof tableSchema>;

const folderSchema = z.strictObject({
  /** One folder a class inside, pictures inside those. */
  folder: z.string(),
  /** Names for the folders; the folders' own names when absent. */
  classes: classes.optional(),
  templates: templates.optional(),
  weight,
});
export type FolderSpec = z.infer<typeof folderSchema>;

export type OneSourceSpec = ShardsSpec | TableSpec | FolderSpec;
export type SourceSpec = OneSourceSpec | readonly OneSourceSpec[];

/** What `parseSourceSpec` takes, for those who publish it. */
export const sourcesSchema = z
  .union([shardsSchema, tableSchema, folderSchema])
  .or(z.array(z.union([shardsSchema, tableSchema, folderSchema])).min(1));

const kinds = { shards: shardsSchema, table: tableSchema, folder: folderSchema } as const;
const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];

/**
 * Checks what a recipe says about one source or a list of them.
 * @throws DiptychError "InvalidSource", "UnknownOption"
 */
export function parseSourceSpec(given: unknown): OneSourceSpec[] {
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.length === 0) throw new DiptychError("InvalidSource", "The list of sources is empty.", `Give ${oneOf}.`);
  return list.map(parseOne);
}

const oneOf = '{ "shards": … }, { "table": … } or { "folder": … }';

function parseOne(given: unknown): OneSourceSpec {
  const keys = typeof given === "object" && given !== null ? Object.keys(given) : [];
  const named = kindNames.filter((kind) => keys.includes(kind));
  if (named.length !== 1) {
    const problem = named.length
      ? `A source is both ${named.join(" and ")}.`
      : "A source says not where its pairs lie.";
    throw new DiptychError("InvalidSource", problem, `Give ${oneOf}.`);
  }
  const schema = kinds[named[0]!];
  const result = schema.safeParse(given);
  if (result.success) return result.data;

  const issue = result.error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const known = knownKeys(schema, issue.path);
    const remedy = `Did you mean "${nearestName(key, known)}"? Known are ${known.join(", ")}.`;
    throw new DiptychError("UnknownOption", `A source of ${named[0]} has no option "${key}".`, remedy);
  }
  const problem = `In a source of ${named[0]}, "${issue.path.join(".")}" is wrong: ${issue.message}.`;
  throw new DiptychError("InvalidSource", problem, "Correct it.");
}
