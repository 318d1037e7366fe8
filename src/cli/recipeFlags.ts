/**
 * @file Every field of a recipe as a flag, read off the published schema: `--batch-size 64`, `--augment.flip`,
 * `--data.shards a.tar`. A value is JSON where it can be, and what the recipe may say decides whether it is right.
 */
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";

/** What is read of a JSON schema. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
}

/** Lies as far from `src/cli` as from `dist/cli`. */
const asset = new URL("../../assets/recipe.schema.json", import.meta.url);

interface Field {
  readonly path: readonly string[];
  readonly description: string;
  readonly types: ReadonlySet<string | undefined>;
}

function fieldsOf(schema: Schema, above: readonly string[] = []): Field[] {
  const properties = alternatives(schema).flatMap((each) => Object.entries(each.properties ?? {}));
  return properties
    .filter(([key]) => !key.startsWith("$"))
    .flatMap(([key, value]) => {
      const path = [...above, key];
      const types = new Set(alternatives(value).map(({ type }) => type));
      return [{ path, description: value.description ?? "", types }, ...fieldsOf(value, path)];
    });
}

const alternatives = (schema: Schema): Schema[] =>
  [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]
    .flatMap(alternatives)
    .concat(schema.anyOf || schema.oneOf ? [] : schema);

const dashed = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Adds the flags; the help shows those of the first level. */
export function addRecipeFlags(command: Command): Command {
  for (const [name, field] of recipeFields()) {
    const names = [...new Set([name, field.path.map(dashed).join(".")])].map((each) => `--${each}`).join(", ");
    const value = field.types.has("boolean") ? "[value]" : "<value>";
    command.addOption(new Option(`${names} ${value}`, field.description).hideHelp(field.path.length > 1));
  }
  return command;
}

/** The recipe with what the flags say in its place. */
export function withFlags(recipe: object, command: Command): object {
  const changed: object = structuredClone(recipe);
  for (const [, { path, types }] of recipeFields()) {
    const given: unknown = command.getOptionValue(attribute(path));
    if (given !== undefined) setAt(changed, path, typeof given === "string" ? parsed(given, types) : given);
  }
  return changed;
}

function recipeFields(): Map<string, Field> {
  const schema = JSON.parse(readFileSync(asset, "utf8")) as Schema;
  return new Map(fieldsOf(schema).map((field) => [field.path.join("."), field]));
}

/** The name under which commander keeps a flag's value. */
const attribute = (path: readonly string[]): string => new Option(`--${path.map(dashed).join(".")}`).attributeName();

function parsed(text: string, types: Field["types"]): unknown {
  if (types.size === 1 && types.has("string")) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function setAt(target: object, [key, ...rest]: readonly string[], value: unknown): void {
  if (key === undefined) return;
  const inner: unknown = Object.getOwnPropertyDescriptor(target, key)?.value;
  const next = typeof inner === "object" && inner !== null && !Array.isArray(inner) ? inner : {};
  Object.assign(target, { [key]: rest.length === 0 ? value : next });
  setAt(next, rest, value);
}
