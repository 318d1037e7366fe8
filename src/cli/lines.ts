/**
 * @file Text files and standard input, by line. Lines end in "\n" (or "\r\n") only: Node's readline would also break them
 * at U+2028, which JSON allows inside a string.
 */
import { createReadStream } from "node:fs";
import { DiptychError } from "../errors.js";

/** The lines of a file; "-" is standard input. */
export async function* lines(file: string): AsyncGenerator<string> {
  const stream = file === "-" ? process.stdin : createReadStream(file);
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const bytes of stream) {
      const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = parts.pop()!;
      for (const part of parts) yield part.replace(/\r$/, "");
    }
  } catch (cause) {
    throw new DiptychError("NoSuchFile", `${file} cannot be read.`, "Check the path.", { cause });
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

/** The lines of a file that are not blank, all at once. */
export async function textLines(file: string): Promise<string[]> {
  const kept: string[] = [];
  for await (const line of lines(file)) if (line.trim() !== "") kept.push(line);
  return kept;
}
