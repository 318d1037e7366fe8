/** @file What every format is read into and written from, and Diptych's own `config.json`. */
import { z } from "zod";
import { type ClipConfig, clipSchema } from "../clip/index.js";
import { type PreprocessConfig, preprocessSchema } from "../image/index.js";
import { type Tokenizer, textCleanings } from "../tokenizer/index.js";

export interface Parameter {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface Checkpoint {
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  /** null where the file carries none: then it is CLIP's own, or the user's to give. */
  readonly tokenizer: Tokenizer | null;
  /** By open_clip's names (its `CLIP` class), in the order of `parameterTable`; linear weights are [out, in]. */
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** What was read, and where each fact was learned, one fact a line. */
  readonly origin: string;
}

/** `config.json` of a folder in Diptych's own format. */
export const folderSchema = z.strictObject({
  format: z.literal("diptych"),
  version: z.literal(1),
  model: clipSchema,
  preprocess: preprocessSchema,
  /** How the tokenizer files are to be used. */
  tokenizer: z
    .strictObject({
      /** Markers in `vocab.json`; a `tokenizer.json` has its own. */
      startToken: z.string().optional(),
      endToken: z.string().optional(),
      clean: z.enum(textCleanings),
      endsWithZero: z.boolean().optional(),
    })
    .optional(),
  origin: z.string(),
});
export type FolderConfig = z.infer<typeof folderSchema>;
