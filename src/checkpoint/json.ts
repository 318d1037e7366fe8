/**
 * @file JSON from files that somebody else wrote: parsed strictly, checked by a schema, complaints in the user's terms.
 * `JSON.parse` lets the last of two equal keys win silently; in a checkpoint that is damage or an attack.
 */
import { z } from "zod";
import { DiptychError, nearestName } from "../errors.js";

/** @throws DiptychError `BadJson` for broken JSON and for objects with two equal keys. `where` names the text in the message. */
export function parseJson(text: string, where: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badJson(`${where} is not JSON: ${(cause as SyntaxError).message}.`, cause);
  }
  const objects: Set<string>[] = [];
  const mark = /["{}]/g;
  for (let found = mark.exec(text); found; found = mark.exec(text)) {
    if (found[0] === "{") objects.push(new Set());
    else if (found[0] === "}") objects.pop();
    else {
      mark.lastIndex = endOfString(text, found.index);
      const name = nameEndingAt(text, found.index, mark.lastIndex);
      if (name === undefined) continue;
      if (objects.at(-1)!.has(name)) throw badJson(`${where} has the name ${JSON.stringify(name)} twice.`);
      objects.at(-1)!.add(name);
    }
  }
  return value;
}

/** Behind the closing quote. Quote by quote, as one expression for the whole string overflows the stack on long ones. */
function endOfString(text: string, start: number): number {
  const stop = /\\.|"/gs;
  stop.lastIndex = start + 1;
  for (let found = stop.exec(text); found && found[0] !== '"'; ) found = stop.exec(text);
  return stop.lastIndex;
}

/** The string there, if a colon makes it a name. */
function nameEndingAt(text: string, start: number, end: number): string | undefined {
  const colon = /\s*:/y;
  colon.lastIndex = end;
  return colon.test(text) ? (JSON.parse(text.slice(start, end)) as string) : undefined;
}

const badJson = (problem: string, cause?: unknown) =>
  new DiptychError("BadJson", problem, "The file is damaged: fetch or write it again.", { cause });

/** The value as the schema's type. @throws DiptychError `BadConfig` that names the first entry that does not fit. */
export function checkJson<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const at = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const near = nearestName(key, knownKeys(schema, issue.path));
    throw new DiptychError(
      "BadConfig",
      `${where} sets ${[...issue.path, key].join(".")}, which Diptych does not know.`,
      near ? `The nearest known name is ${near}; remove the entry if it is not needed.` : "Remove the entry.",
    );
  }
  throw new DiptychError(
    "BadConfig",
    `${where}${at ? `, entry ${at}` : ""}: ${issue.message}.`,
    "Correct the file, or fetch it again.",
  );
}

/** Python's libraries write null for "the default". */
export const withoutNulls = (given: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([, setting]) => setting !== null));

/** The names that the schema knows at a place in the value; of alternatives, those of all of them. */
export function knownKeys(schema: z.core.$ZodType, place: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return knownKeys(schema.unwrap(), place);
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return knownKeys(schema.unwrap(), place);
  if (schema instanceof z.ZodUnion) return [...new Set(schema.options.flatMap((option) => knownKeys(option, place)))];
  const [key, ...rest] = place;
  if (schema instanceof z.ZodArray) return key === undefined ? [] : knownKeys(schema.element, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  if (key === undefined) return Object.keys(schema.shape);
  const inner = schema.shape[String(key)];
  return inner ? knownKeys(inner, rest) : [];
}
