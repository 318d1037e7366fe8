/**
 * @file Other models' tokenizers (SigLIP's, XLM-V's, BERT's) from their `tokenizer.json`, by Hugging Face's library.
 * CLIP's own is not among them: it repairs text, which no `tokenizer.json` can say.
 */
import { DiptychError } from "../errors.js";
import { cleanText, type TextCleaning } from "./clean.js";
import type { JsonTokenizer, TokenizerJson } from "./tokenizer.js";

export interface TokenizerJsonOptions {
  /** What happens to a text before the file's own normaliser; "huggingface", nothing, unless given. */
  readonly clean?: TextCleaning;
  /** open_clip's `strip_sep_token`: id 0 stands where the file wants its end marker. */
  readonly endsWithZero?: boolean;
}

/** @throws DiptychError `BadTokenizer` for files that the library cannot read, and for markers of several tokens. */
export async function readTokenizerJson(
  files: TokenizerJson,
  { clean = "huggingface", endsWithZero = false }: TokenizerJsonOptions = {},
): Promise<JsonTokenizer> {
  const { Tokenizer } = await import("@huggingface/tokenizers");
  const settings = parse(files["tokenizer_config.json"], "tokenizer_config.json");
  const inner = trying(() => new Tokenizer(parse(files["tokenizer.json"], "tokenizer.json"), settings));
  // What is wrong in the file may show only when a text meets it.
  const idsOf = (text: string, marked = false) => trying(() => inner.encode(text, { add_special_tokens: marked })).ids;
  const { startId, endId } = markers(idsOf("a", true), idsOf("a"));
  const padToken = settings.pad_token;
  const padName = isRecord(padToken) ? padToken.content : padToken;
  let largest = 0;
  for (const id of inner.get_vocab(true).values()) largest = Math.max(largest, id);
  return {
    kind: "json",
    files,
    vocabularySize: largest + 1,
    startId,
    endId: endsWithZero ? 0 : endId,
    endsWithZero,
    padId: (typeof padName === "string" ? inner.token_to_id(padName) : undefined) ?? 0,
    clean,
    encode: (text) => idsOf(clean === "huggingface" ? text : cleanText(text, clean)),
    decode: (ids) => inner.decode([...ids], { skip_special_tokens: false }),
  };
}

/** What the file's pipeline puts around a text. */
function markers(marked: readonly number[], bare: readonly number[]) {
  const start = marked.indexOf(bare[0]!);
  const before = marked.slice(0, start);
  const behind = marked.slice(start + bare.length);
  if (start < 0 || before.length > 1 || behind.length > 1) {
    throw badTokenizer(`puts the tokens ${marked.join(", ")} for a text of ${bare.join(", ")}`);
  }
  return { startId: before[0] ?? null, endId: behind[0] ?? null };
}

/** What the library does, its errors told as the file's. */
function trying<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof DiptychError) throw cause;
    throw badTokenizer(`cannot be read: ${(cause as Error).message}`, cause);
  }
}

function parse(text: string, name: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch {
    // told below
  }
  throw badTokenizer(`is no JSON object (${name})`);
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

const badTokenizer = (problem: string, cause?: unknown) =>
  new DiptychError("BadTokenizer", `The tokenizer file ${problem}.`, "Fetch the model's tokenizer files again.", {
    cause,
  });
