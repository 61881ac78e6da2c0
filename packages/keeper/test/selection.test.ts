// Lists of Items over both databases: whatever the filters and the size of a page, the pages in turn are each Item that
// is meant, once, in one order; and however many Items there are, a page is found by an index.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { openDatabase, type Database } from "../src/database/database.ts";
import type { ItemState } from "../src/database/schema.ts";
import type { Means } from "../src/lifecycle/means.ts";
import type { ItemRow } from "../src/lifecycle/ledger.ts";
import { listItems, pageOf, selected, type Selection } from "../src/lifecycle/selection.ts";
import { explain, itemRow, keyRow, now, value } from "./contract/database.ts";
import { testPlaces } from "./places.ts";

const { places } = testPlaces("selection");

const states: readonly ItemState[] = [
  "healthy",
  "login_required",
  "error",
  "stranded",
  "removing",
  "removed",
];
const institutions = [null, "ins_1", "ins_2"];
const users = [null, "u_1", "u_2"];

const selections: fc.Arbitrary<Selection> = fc.record(
  {
    states: fc.array(fc.constantFrom(...states), { maxLength: 4 }),
    institutionId: fc.constantFrom("ins_1", "ins_2", "ins_none"),
    userId: fc.constantFrom("u_1", "u_2", "u_none"),
    tokenBefore: fc.constantFrom(now - 3, now, now + 1, now + 3),
  },
  { requiredKeys: [] },
);

for (const [name, empty] of Object.entries(places)) {
  describe(`lists of Items: ${name}`, () => {
    let database: Database;
    let means: Means;
    let rows: readonly ItemRow[];
    before(async () => {
      database = value(await openDatabase(await empty(), { now }));
      means = { database, environment: "sandbox" } as Means;
      await database.sql.insertInto("keys").values(keyRow).execute();
      for (let n = 0; n < 90; n++) {
        const state = states[n % states.length]!;
        // Ids as Plaid has them, and one with everything in it that a page's key is made of.
        const item_id = n === 7 ? `12.${n}'"\n.é` : `${"Zaby019"[n % 7]}${(n * 7919) % 1_000}${n}`;
        const gone = state === "removed" && { token: null, key_id: null, removed_at: now };
        const more = {
          state,
          institution_id: institutions[n % 5] ?? null,
          user_id: users[n % 4] ?? null,
          token_at: now - 2 + (n % 5),
          ...gone,
        };
        await database.sql.insertInto("items").values(itemRow(item_id, more)).execute();
      }
      const production = itemRow("elsewhere", { environment: "production" });
      await database.sql.insertInto("items").values(production).execute();
      rows = await database.sql.selectFrom("items").selectAll().orderBy("item_id").execute();
    });
    after(() => database.close());

    test("the pages in turn are each selected Item once, in order", async () => {
      await fc.assert(
        fc.asyncProperty(selections, fc.integer({ min: 1, max: 40 }), async (selection, limit) => {
          const { institutionId, userId, tokenBefore } = selection;
          const meant = rows.filter(
            (row) =>
              row.environment === "sandbox" &&
              (selection.states ? selection.states.includes(row.state) : row.state !== "removed") &&
              (institutionId === undefined || row.institution_id === institutionId) &&
              (userId === undefined || row.user_id === userId) &&
              (tokenBefore === undefined || (row.removed_at === null && row.token_at < tokenBefore)),
          );
          // A sort that is stable keeps the database's own order of ids.
          const wanted =
            tokenBefore === undefined ? meant : meant.toSorted((a, b) => a.token_at - b.token_at);
          const got: string[] = [];
          for (let after: string | null | undefined; after !== null;) {
            const page = value(await listItems(means, selection, { after, limit }));
            assert.ok(page.items.length <= limit);
            assert.ok(page.next === null || page.items.length === limit);
            got.push(...page.items.map(({ item_id }) => item_id));
            after = page.next;
          }
          const ids = wanted.map(({ item_id }) => item_id);
          assert.deepEqual(got, ids);
          const all = await selected(means, database.sql, selection).select("item_id").execute();
          assert.deepEqual(all.map(({ item_id }) => item_id).sort(), ids.toSorted());
        }),
        { numRuns: 150 },
      );
    });

    test("a filter that nobody knows, or that has no value, is refused: it would select everything", async () => {
      const wrong: readonly (readonly [unknown, RegExp])[] = [
        [{ user_id: "u_1" }, /`user_id`; what is known is states, institutionId, userId, tokenBefore$/],
        [{ state: "error" }, /`state`/],
        [{ userId: undefined }, /^userId must be left out/],
        [{ states: undefined }, /^states must be left out/],
        [{ states: ["helthy"] }, /^states must be .*: healthy, .*removed$/],
        [{ states: ["toString"] }, /^states must be/],
        [{ tokenBefore: Infinity }, /^tokenBefore must be/],
        [{ tokenBefore: 1.5 }, /^tokenBefore must be/],
        [{ tokenBefore: -1 }, /^tokenBefore must be/],
        [{ tokenBefore: 1e300 }, /^tokenBefore must be/],
        [{ tokenBefore: "1" }, /^tokenBefore must be/],
        [null, /^a selection must be an object/],
        [["error"], /^a selection must be an object/],
      ];
      for (const [selection, message] of wrong)
        await assert.rejects(listItems(means, selection as Selection, {}), { name: "TypeError", message });
      const beside = { userId: "u_1" } as object;
      await assert.rejects(listItems(means, {}, beside), { name: "TypeError", message: /`userId`/ });
    });

    test("a list never shows a token, and a page that nobody gave is refused", async () => {
      const { items } = value(await listItems(means, {}, {}));
      assert.ok(items.length > 10);
      for (const item of items) assert.ok(!("token" in item) && !("key_id" in item));
      for (const after of ["", "x", "12", "12.", "-1.a", "1e9.a"])
        await assert.rejects(listItems(means, {}, { after }), TypeError, after);
      for (const limit of [0, -1, 1.5, 10_001, NaN])
        await assert.rejects(listItems(means, {}, { limit }), TypeError, String(limit));
    });

    test("the first page and every other go by an index, and sort nothing", async () => {
      const filters: Record<string, Selection> = {
        // SQLite's table is the tree of its key: what is read from its beginning is in order.
        "items_pkey|PRIMARY KEY|SCAN items": {},
        items_by_state: { states: ["error"] },
        items_by_user: { userId: "u_1" },
        items_by_institution: { institutionId: "ins_1" },
        items_by_age: { tokenBefore: now },
      };
      for (const [index, selection] of Object.entries(filters)) {
        for (const after of [undefined, `${now}.a`]) {
          const plan = await explain(database, pageOf(means, database.sql, selection, after, 50).compile());
          assert.match(plan, new RegExp(`\\b(${index})\\b`), `${index}, ${after}:\n${plan}`);
          assert.doesNotMatch(plan, /\bsort\b|TEMP B-TREE|Seq Scan/i, `${index}, ${after}:\n${plan}`);
        }
      }
      // Of several states each page comes by the index; what is merged is a page or two.
      const both = pageOf(means, database.sql, { states: ["error", "stranded"] }, `${now}.a`, 50).compile();
      const plan = await explain(database, both);
      assert.equal(plan.match(/\bitems_by_state\b/g)?.length, 2, plan);
      assert.doesNotMatch(plan, /Seq Scan|SCAN items/i, plan);
    });
  });
}
