/**
 * @file Tables of captions as text: CSV and its kin (RFC 4180: quotes, doubled quotes, newlines inside quotes) and JSON lines.
 * Leaves out typed values and tables without a header row.
 */
import { DiptychError } from "../errors.js";

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
  /** Rows that were passed over. */
  readonly problems: readonly string[];
}

export interface TableRow {
  /** Where it begins, counted from 1. */
  readonly line: number;
  readonly values: Readonly<Record<string, unknown>>;
}

const separators = [",", "\t", ";", "|"];

/**
 * @param label names the table in errors
 * @param separator between fields; detected in the header row when absent
 * @throws DiptychError "EmptyTable", "UnreadableTable"
 */
export function parseTable(content: string, label: string, separator?: string): Table {
  const text = content.replace(/^\uFEFF/, "");
  if (text.trim() === "") {
    throw new DiptychError(
      "EmptyTable",
      `${label} is empty.`,
      "Give a table with a header row and a row for each picture.",
    );
  }
  return separator === undefined && text.trimStart().startsWith("{")
    ? parseJsonLines(text, label)
    : parseSeparated(text, label, separator);
}

function parseJsonLines(text: string, label: string): Table {
  const columns = new Set<string>();
  const rows: TableRow[] = [];
  const bad: number[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    try {
      const values: unknown = JSON.parse(line);
      if (typeof values !== "object" || values === null || Array.isArray(values)) throw new SyntaxError();
      for (const column of Object.keys(values)) columns.add(column);
      rows.push({ line: i + 1, values: { ...values } });
    } catch {
      bad.push(i + 1);
    }
  }
  return { columns: [...columns], rows, problems: passedOver(label, bad, "no JSON objects") };
}

function parseSeparated(text: string, label: string, given: string | undefined): Table {
  const separator = given ?? detectSeparator(text);
  const records = separatedRecords(text, separator, label);
  const header = records.next();
  const columns = header.done ? [] : header.value.fields.map((field) => field.trim());
  const rows: TableRow[] = [];
  const bad: number[] = [];
  for (const { line, fields } of records) {
    if (fields.length === 1 && fields[0]!.trim() === "") continue;
    if (fields.length !== columns.length) bad.push(line);
    else rows.push({ line, values: Object.fromEntries(columns.map((column, i) => [column, fields[i]!.trim()])) });
  }
  return { columns, rows, problems: passedOver(label, bad, `not ${columns.length} fields long`) };
}

function passedOver(label: string, lines: readonly number[], what: string): string[] {
  return lines.length ? [`${label}: ${lines.length} rows are ${what} (the first in line ${lines[0]}).`] : [];
}

/** The candidate that occurs most in the header row. */
function detectSeparator(text: string): string {
  const header = text.slice(0, /[\r\n]/.exec(text)?.index).replace(/"[^"]*"/g, "");
  const count = (separator: string): number => header.split(separator).length;
  return separators.reduce((best, next) => (count(next) > count(best) ? next : best));
}

interface SeparatedRecord {
  readonly line: number;
  readonly fields: readonly string[];
}

function* separatedRecords(text: string, separator: string, label: string): Generator<SeparatedRecord, undefined> {
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const start = line;
    const fields: string[] = [];
    for (let ended = false; !ended; ) {
      let field = "";
      if (text[at] === '"') {
        const opened = line;
        for (let quoted = true; quoted; ) {
          const close = text.indexOf('"', at + 1);
          if (close < 0) {
            const problem = `${label}: a quote that opens in line ${opened} never closes.`;
            throw new DiptychError("UnreadableTable", problem, 'Close it; a quote inside a quoted text is written "".');
          }
          const part = text.slice(at + 1, close);
          for (const character of part) if (character === "\n") line++;
          field += part;
          quoted = text[close + 1] === '"';
          if (quoted) field += '"';
          at = close + 1; // behind the end, or on a doubled quote's second half
        }
      }
      let end = at;
      while (end < text.length && text[end] !== separator && text[end] !== "\n") end++;
      ended = text[end] !== separator;
      field += text.slice(at, end);
      fields.push(ended && field.endsWith("\r") ? field.slice(0, -1) : field);
      at = end + 1;
    }
    line++;
    yield { line: start, fields };
  }
  return undefined;
}
