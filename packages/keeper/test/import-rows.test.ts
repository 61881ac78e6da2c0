// The reader of import files: what a spreadsheet or a program wrote comes out as it was, whatever chunks it comes in, and a
// line that is wrong takes no other with it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { rowsOf, type BadRow, type ImportFormat, type ImportRow } from "../src/lifecycle/import-rows.ts";
import { failure, value } from "./lifecycle-world.ts";
import { all, chunks } from "./moving-world.ts";

async function read(text: string, length: number, format?: ImportFormat): Promise<(ImportRow | BadRow)[]> {
  const begun = value(await rowsOf(chunks(text, length), format, () => {}));
  return (await all(begun.rows)).flat();
}

/** What may stand in a field: quotes, delimiters, ends of lines, and letters of more than one byte. */
const field = fc.string({
  unit: fc.constantFrom("a", "ß", "漢", '"', ",", ";", " ", "\n", "\r\n", "7"),
  maxLength: 12,
});
const token = fc.stringMatching(/^access-sandbox-[0-9a-f]{8}$/);
const rows = fc.array(fc.record({ access_token: token, user_id: field, note: field }), { maxLength: 12 });
const quoted = (text: string) => (/[",;\s]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const heightOf = (text: string) => text.split("\n").length;
/** Lines within a field come out with "\n" between them. */
const wanted = (text: string) => text.replaceAll("\r\n", "\n").trim() || null;

describe("the rows of an import", () => {
  test("of a CSV are what was written, each with the line it begins on", () =>
    fc.assert(
      fc.asyncProperty(
        rows,
        fc.constantFrom(",", ";", "\t"),
        fc.constantFrom("\n", "\r\n"),
        fc.integer({ min: 1, max: 50 }),
        async (written, delimiter, end, length) => {
          const lines = written.map(({ note, user_id, access_token }) =>
            [quoted(note), access_token, quoted(user_id)].join(delimiter),
          );
          const text = [["note", "access_token", "user_id"].join(delimiter), ...lines].join(end);
          let line = 2;
          const expected = written.map(({ access_token, user_id }, at) => {
            const row = line;
            line += heightOf(lines[at]!);
            return { row, access_token, user_id: wanted(user_id), item_id: null };
          });
          assert.deepEqual(await read(text, length), expected);
        },
      ),
    ));

  test("of JSON lines are what was written", () =>
    fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 50 }), async (written, length) => {
        const text = `\n${written.map((row) => JSON.stringify(row)).join("\n")}\n{}`;
        const expected = written.map(({ access_token, user_id }, at) => ({
          row: at + 2,
          access_token,
          user_id: user_id.trim() || null,
          item_id: null,
        }));
        assert.deepEqual((await read(text, length)).slice(0, -1), expected);
      }),
    ));

  test("after a line that is wrong are as if it were not there", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(token, { minLength: 1, maxLength: 250 }),
        fc.constantFrom('"never closed', 'stray "quote', '"closed" too early', "a,b,c,d", '"', '""",'),
        fc.nat(),
        async (tokens, wrong, at) => {
          const place = at % (tokens.length + 1);
          const lines = tokens.toSpliced(place, 0, wrong);
          const seen = await read(["access_token,user_id", ...lines].join("\n"), 100);
          const tokensSeen = seen.flatMap((row) => ("bad" in row || row.access_token === wrong ? [] : [row]));
          assert.deepEqual(
            tokensSeen.map(({ row, access_token }) => [row, access_token]),
            tokens.map((access_token, index) => [index + 2 + (index >= place ? 1 : 0), access_token]),
          );
          assert.deepEqual(
            seen.flatMap((row) => ("bad" in row ? [[row.row, row.bad]] : [])),
            [[place + 2, "malformed"]],
          );
        },
      ),
    ));

  test("have a record whole or not at all: one with a line that is too long is not put together without it", async () => {
    const text = `access_token,user_id\naccess-sandbox-1,"u\n${"x".repeat(70_000)}\n1"\naccess-sandbox-2,u_2\n`;
    assert.deepEqual(await read(text, 10_000), [
      { row: 2, bad: "malformed" },
      { row: 3, bad: "too-long" },
      { row: 4, bad: "malformed" },
      { row: 5, access_token: "access-sandbox-2", user_id: "u_2", item_id: null },
    ]);
  });

  test("may begin with a column that has no name, as tables with an index do", async () => {
    for (const delimiter of [",", ";", "\t"])
      assert.deepEqual(
        await read(
          ["", "access_token", "user_id"].join(delimiter) + "\n" + ["0", "a", "u"].join(delimiter),
          5,
        ),
        [{ row: 2, access_token: "a", user_id: "u", item_id: null }],
      );
  });

  test("with a token where an id should be are refused, for ids are told and stored in clear", async () => {
    const swapped = { row: 2, bad: "malformed" };
    assert.deepEqual(await read("item_id,access_token\naccess-sandbox-1,i_1", 5), [swapped]);
    assert.deepEqual(await read('\n{"access_token":"u_1","user_id":"access-production-1"}', 5), [swapped]);
  });

  test("cannot be had where lines end in CR alone, which is said before anything is taken for done", async () => {
    const begun = await rowsOf(chunks("access_token,user_id\raccess-sandbox-1,u_1\r"), undefined, () => {});
    assert.match(JSON.stringify(failure(begun)), /no-access-token.*CR alone/);
  });
});
