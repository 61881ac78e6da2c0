// Rows as a table that fits the terminal (and the facts of one thing as lines): columns give way from the widest on, what is cut shows it, and where that is not
// enough, columns that are empty are left out, then those on the right. In a pipe rows are values with tabs between,
// without a head, for `cut`, `awk` and `sett rotate -`.

import { stripVTControlCharacters } from "node:util";
import type { Out } from "./out.ts";

export interface Column<Row> {
  readonly head: string;
  /** "-" where there is nothing. */
  readonly of: (row: Row) => string;
  /** Colours what has been cut and padded. */
  readonly paint?: (text: string, row: Row) => string;
  /** Never cut. */
  readonly whole?: true;
}

interface Laid<Row> {
  readonly column: Column<Row>;
  readonly texts: readonly string[];
  width: number;
}

const gap = "  ";
const narrowest = 6;

/** What a terminal would obey, and what would break a line, is shown as a space. */
const plain = (text: string) => stripVTControlCharacters(text).replace(/\p{Cc}/gu, " ");

/** One page of rows. The widths are of this page. */
export async function writeTable<Row>(
  out: Out,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  withHead = true,
): Promise<void> {
  const laid = columns.map((column): Laid<Row> => {
    const texts = rows.map((row) => plain(column.of(row)));
    return { column, texts, width: Math.max(column.head.length, ...texts.map(({ length }) => length)) };
  });
  if (!out.person) {
    for (const at of rows.keys()) await out.line(laid.map(({ texts }) => texts[at]).join("\t"));
    return;
  }
  const shown = narrowed(fewer(laid, out.columns), out.columns);
  const cell = (text: string, width: number) =>
    (text.length > width ? `${text.slice(0, width - 1)}…` : text).padEnd(width);
  const line = (cells: readonly string[]) => cells.join(gap).trimEnd();
  if (withHead && rows.length > 0)
    await out.line(out.paint("dim", line(shown.map(({ column, width }) => cell(column.head, width)))));
  for (const [at, row] of rows.entries()) {
    const cells = shown.map(({ column, texts, width }) => {
      const text = cell(texts[at]!, width);
      return column.paint ? column.paint(text, row) : text;
    });
    await out.line(line(cells));
  }
}

/** What is known of one thing, a line each; what is null is left out. */
export async function writeFacts(out: Out, facts: Readonly<Record<string, string | null>>): Promise<void> {
  const width = 1 + Math.max(...Object.keys(facts).map(({ length }) => length));
  for (const [name, value] of Object.entries(facts))
    if (value !== null) await out.line(`${out.paint("dim", name.padEnd(width))} ${value}`);
}

const total = (widths: readonly number[]) =>
  widths.reduce((sum, width) => sum + width, gap.length * (widths.length - 1));

/** Those that fit, cut as they may be. */
function fewer<Row>(laid: readonly Laid<Row>[], room: number): readonly Laid<Row>[] {
  const least = laid.map(({ column, width }) => (column.whole ? width : Math.min(width, narrowest)));
  if (total(least) <= room || laid.length === 1) return laid;
  const empty = laid.findLastIndex(
    ({ column, texts }) => !column.whole && texts.every((text) => text === "-"),
  );
  return fewer(laid.toSpliced(empty < 0 ? -1 : empty, 1), room);
}

function narrowed<Row>(laid: readonly Laid<Row>[], room: number): readonly Laid<Row>[] {
  while (total(laid.map(({ width }) => width)) > room) {
    const cuttable = laid.filter(({ column, width }) => !column.whole && width > narrowest);
    if (cuttable.length === 0) break;
    cuttable.reduce((widest, one) => (one.width > widest.width ? one : widest)).width -= 1;
  }
  return laid;
}
