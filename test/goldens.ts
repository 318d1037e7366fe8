/** @file Where the reference's outputs lie, beside the checkout; a public clone has none and skips the tests that need them. */
import { existsSync } from "node:fs";
import path from "node:path";

const folder = path.resolve(import.meta.dirname, "../../shared");
export const shared = (name: string): string => path.join(folder, name);
export const hasShared: boolean = existsSync(folder);
