// What an import's file says, row by row: CSV as spreadsheets write it, or one JSON object a line. Where a record of CSV
// ends is found here, for csv-parse alone would let one stray quote take the rows after it along, and with them as much
// memory as the file is long; what a record says is csv-parse's.

import { parse } from "csv-parse/sync";
import { err, ok, type Result } from "sett";
import { linesOf, maxLineLength, type Line } from "./lines.ts";
import { isText, longestId, longestToken } from "./texts.ts";

export type ImportFormat = "csv" | "jsonl";

/** An Item that is to be taken over, and where it stands in the file: its line, from 1. */
export interface ImportRow {
  readonly row: number;
  readonly access_token: string;
  readonly user_id: string | null;
  /** Which Item it must be; null where the file does not say. */
  readonly item_id: string | null;
}

/** A line that cannot be right. */
export interface BadRow {
  readonly row: number;
  /**
   * Not a record of the file's format, or with a token for an id; too long, or with a field that is (a token has up to
   * 1 024 characters, `user_id` and `item_id` up to 255); without a token; with a field that is no text, or none of
   * well-formed Unicode without NUL.
   */
  readonly bad: "malformed" | "too-long" | "no-token" | "not-text";
}

/** Why nothing in a file can be right. Plain data without a token. */
export interface FormatFailure {
  readonly kind: "format";
  readonly reason: "empty" | "no-access-token" | "json-array";
  readonly detail: string;
}

/** A file that has been begun. */
export interface Rows {
  readonly format: ImportFormat;
  /** The columns of a CSV that mean nothing here, by name. */
  readonly ignored: readonly string[];
  /** As many rows at a time as came. */
  readonly rows: AsyncIterable<readonly (ImportRow | BadRow)[]>;
}

const fields = ["access_token", "user_id", "item_id"] as const;
type Field = (typeof fields)[number];

/** Reads as far as the first line that says something, and finds out whether the file can be right. */
export async function rowsOf(
  source: AsyncIterable<Uint8Array | string>,
  format: ImportFormat | undefined,
  onBytes: (length: number) => void,
): Promise<Result<Rows, FormatFailure>> {
  const lines = linesOf(source, onBytes);
  for (;;) {
    const next = await lines.next();
    if (next.done) return err(fault("empty", "there is nothing in it"));
    const start = next.value.findIndex(({ text }) => text === null || text.trim() !== "");
    if (start < 0) continue;
    const first = next.value[start]!.text?.trim() ?? "";
    const refuse = async (failure: FormatFailure) => {
      await lines.return();
      return err(failure);
    };
    if ((format ?? (/^[{[]/.test(first) ? "jsonl" : "csv")) === "jsonl") {
      if (first.startsWith("["))
        return refuse(fault("json-array", "it is a JSON array; write one object a line instead"));
      return ok({ format: "jsonl", ignored: [], rows: jsonRows(whole(next.value.slice(start), lines)) });
    }
    const header = headerOf(next.value[start]!.text ?? "");
    if (!header) {
      const detail = first.includes("\r")
        ? "its lines end in CR alone: write them with LF or CRLF"
        : 'its first line names no column "access_token"';
      return refuse(fault("no-access-token", detail));
    }
    const ignored = header.names.filter((name) => !(fields as readonly string[]).includes(name)).map(shown);
    return ok({ format: "csv", ignored, rows: csvRows(whole(next.value.slice(start + 1), lines), header) });
  }
}

/** The lines that were read to know what they are, and those after them. */
async function* whole(begun: Line[], lines: AsyncIterable<Line[]>): AsyncGenerator<Line[], void> {
  yield begun;
  yield* lines;
}

const fault = (reason: FormatFailure["reason"], detail: string): FormatFailure => ({
  kind: "format",
  reason,
  detail,
});

/** A column's name, unless it could be something that only stands where a name should be. */
const shown = (name: string) => (/^[A-Za-z][A-Za-z_ ]{0,39}$/.test(name) ? name : "(not a name)");

interface Header {
  readonly delimiter: string;
  readonly names: readonly string[];
}

function headerOf(line: string): Header | undefined {
  if (line.includes("\r")) return undefined;
  const text = line.replace(/^ +| +$/g, ""); // a tab there is a column without a name
  for (const delimiter of [",", ";", "\t"]) {
    const names = fieldsOf(text, delimiter)?.map((name) => name.trim().toLowerCase());
    if (names?.includes("access_token")) return { delimiter, names };
  }
  return undefined;
}

function fieldsOf(text: string, delimiter: string): string[] | undefined {
  if (!text.includes('"')) return text.split(delimiter); // all the same, in a hundredth of the time
  try {
    const records: string[][] = parse(text, { delimiter, relax_column_count: true, skip_empty_lines: true });
    return records.length === 1 ? records[0] : undefined;
  } catch {
    return undefined; // its words may have the token in them
  }
}

async function* csvRows(
  lines: AsyncIterable<Line[]>,
  { delimiter, names }: Header,
): AsyncGenerator<(ImportRow | BadRow)[], void> {
  const places = fields.map((name) => [name, names.indexOf(name)] as const).filter(([, at]) => at >= 0);
  const record = (row: number, text: string): ImportRow | BadRow => {
    const values = fieldsOf(text, delimiter);
    if (!values || values.length > names.length) return { row, bad: "malformed" };
    return rowOf(row, Object.fromEntries(places.map(([name, at]) => [name, values[at]])));
  };
  /** Lines of a record whose quotes are still open. */
  let open: Line[] = [];
  let length = 0;
  const take = (line: Line, made: (ImportRow | BadRow)[]): void => {
    if (line.text === null) {
      while (open.length > 0) giveUp(made); // a record is not put together without it
      made.push({ row: line.line, bad: "too-long" });
    }
    if (line.text === null || (open.length === 0 && line.text.trim() === "")) return;
    open.push(line);
    length += line.text.length;
    const text = open.length === 1 ? line.text : open.map((part) => part.text).join("\n");
    if (!endsInQuotes(text, delimiter)) {
      const one = record(open[0]!.line, text);
      if ("bad" in one && open.length > 1) return giveUp(made);
      made.push(one);
      open = [];
      length = 0;
    } else if (open.length > maxLines || length > maxLineLength) giveUp(made);
  };
  /** The quote of the first line is not closed as it should be: that line is bad, and the others are on their own. */
  const giveUp = (made: (ImportRow | BadRow)[]): void => {
    const [bad, ...others] = open;
    open = [];
    length = 0;
    made.push({ row: bad!.line, bad: "malformed" });
    for (const line of others) take(line, made);
  };
  for await (const batch of lines) {
    const made: (ImportRow | BadRow)[] = [];
    for (const line of batch) take(line, made);
    if (made.length > 0) yield made;
  }
  const made: (ImportRow | BadRow)[] = [];
  while (open.length > 0) giveUp(made);
  if (made.length > 0) yield made;
}

/** A quoted field may have so many lines. */
const maxLines = 100;

/** Whether a quote that began a field is still open at the end. A quote within a field that has none at its start opens nothing. */
function endsInQuotes(text: string, delimiter: string): boolean {
  if (!text.includes('"')) return false;
  let quoted = false;
  let start = true;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character !== '"') continue;
      if (text[at + 1] === '"') at++;
      else quoted = false;
    } else {
      if (character === '"' && start) quoted = true;
      start = character === delimiter;
    }
  }
  return quoted;
}

async function* jsonRows(lines: AsyncIterable<Line[]>): AsyncGenerator<(ImportRow | BadRow)[], void> {
  for await (const batch of lines)
    yield batch.filter(({ text }) => text === null || text.trim() !== "").map(jsonRow);
}

function jsonRow({ line: row, text }: Line): ImportRow | BadRow {
  if (text === null) return { row, bad: "too-long" };
  try {
    const said: unknown = JSON.parse(text);
    if (typeof said === "object" && said !== null && !Array.isArray(said))
      return rowOf(row, said as Partial<Record<Field, unknown>>);
  } catch {
    // Below.
  }
  return { row, bad: "malformed" };
}

function rowOf(row: number, said: Partial<Record<Field, unknown>>): ImportRow | BadRow {
  const [access_token, user_id, item_id] = fields.map((name) => {
    const value = said[name] ?? null;
    return typeof value === "string" ? value.trim() || null : value;
  });
  return rowFrom(row, { access_token, user_id, item_id });
}

const tokenBegins = /^access-(sandbox|production|development)-/;

/** A row, if what it says can be kept. */
export function rowFrom(row: number, said: { readonly [Name in Field]: unknown }): ImportRow | BadRow {
  if (said.access_token === null) return { row, bad: "no-token" };
  for (const name of fields) {
    const value = said[name];
    const longest = name === "access_token" ? longestToken : longestId;
    // Columns that changed places: an id is stored, and told, in clear.
    if (name !== "access_token" && typeof value === "string" && tokenBegins.test(value))
      return { row, bad: "malformed" };
    if (value === null || isText(value, longest)) continue;
    return { row, bad: isText(value, Infinity) ? "too-long" : "not-text" };
  }
  return { row, ...said } as ImportRow;
}
