import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseTable } from "../../src/data/table.js";
import { DiptychError } from "../../src/errors.js";

describe("parseTable", () => {
  test("reads back what a CSV writer wrote, whatever the fields hold", () => {
    const field = fc
      .string({
        unit: fc.constantFrom("a", " ", '"', ",", "\n", "é", ";", "\t", "|", "\r\n"),
        minLength: 1,
        maxLength: 8,
      })
      .map((text) => text.trim());
    const separators = fc.constantFrom(",", "\t", ";", "|");
    fc.assert(
      fc.property(
        fc.array(fc.tuple(field, field), { maxLength: 6 }),
        separators,
        fc.constantFrom("\n", "\r\n"),
        (rows, separator, end) => {
          const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
          const text = [["path", "caption"], ...rows].map((row) => row.map(quoted).join(separator)).join(end);
          const table = parseTable(text, "t.csv", separator);
          expect(table.rows.map(({ values }) => [values.path, values.caption])).toEqual(rows);
          expect(table.problems).toEqual([]);
        },
      ),
    );
  });

  test("the separator is found in the header row", () => {
    for (const separator of [",", "\t", ";", "|"]) {
      const { rows } = parseTable(`\uFEFF"a,;|\t" ${separator} title\r\n1 ${separator} x\r\n\r\n`, "t");
      expect(rows.map(({ values }) => values.title)).toEqual(["x"]);
    }
  });

  test("a row of another length is passed over, and its line is told even behind quoted newlines", () => {
    const { rows, problems } = parseTable('a,b\n"1\n1",2\n3\n4,5\n6,7,8\n', "t.csv");
    expect(rows).toEqual([
      { line: 2, values: { a: "1\n1", b: "2" } },
      { line: 5, values: { a: "4", b: "5" } },
    ]);
    expect(problems).toEqual(["t.csv: 2 rows are not 2 fields long (the first in line 4)."]);
  });

  test("a quote that never closes is refused with its line", () => {
    expect(() => parseTable('a,b\n1,2\n3,"4\n5,6\n', "t.csv")).toThrowErrorMatchingInlineSnapshot(
      `[DiptychError: UnreadableTable: t.csv: a quote that opens in line 3 never closes. Close it; a quote inside a quoted text is written "".]`,
    );
  });

  test("JSON lines keep lists; lines that are no objects are passed over", () => {
    const { columns, rows, problems } = parseTable(
      '{"path": "a", "captions": ["x", "y"]}\n\n[1]\noops\n{"path": "b", "n": 1}\n',
      "t.jsonl",
    );
    expect(columns).toEqual(["path", "captions", "n"]);
    expect(rows.map(({ line }) => line)).toEqual([1, 5]);
    expect(rows[0]!.values.captions).toEqual(["x", "y"]);
    expect(problems).toEqual(["t.jsonl: 2 rows are no JSON objects (the first in line 3)."]);
  });

  test("any text gives a table or a DiptychError", () => {
    const text = fc.string({ unit: fc.constantFrom('"', ",", "\n", "\r", "a", "{", "}", " ", ":"), maxLength: 60 });
    fc.assert(
      fc.property(text, (content) => {
        try {
          parseTable(content, "t");
        } catch (error) {
          expect(error).toBeInstanceOf(DiptychError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
