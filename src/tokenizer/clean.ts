/**
 * @file What happens to a text before it is split: repair, HTML entities, white space, case.
 */
import { pythonLower, pythonSplit } from "./python.js";

/** How a text is cleaned. */
export type TextCleaning = "lower" | "whitespace";

export function cleanText(text: string, clean: TextCleaning = "lower"): string {
  const collapsed = pythonSplit(text).join(" ");
  return clean === "lower" ? pythonLower(collapsed) : collapsed;
}
