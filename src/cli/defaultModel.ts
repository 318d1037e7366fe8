/** @file The model in the box: used by every command that is not given another. */
import { fileURLToPath } from "node:url";

/** Lies as far from `src/cli` as from `dist/cli`. */
export const defaultModel = fileURLToPath(new URL("../../models/diptych-mini", import.meta.url));
