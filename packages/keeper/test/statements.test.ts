// What PostgreSQL is asked, as it is asked: by name where it is asked again, and in the same words whenever it is.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import { sql as raw } from "kysely";
import { claimLeases } from "../src/database/leases.ts";
import { openDatabase, type Database } from "../src/database/database.ts";
import { countAttempts, writeAcknowledged, type Entry, type Held } from "../src/sweep/settle.ts";
import { value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { fleet, quick } from "./sweep-world.ts";

const { places, escrowFolder } = testPlaces("statements");

/** A database with one connection, and what that has prepared. */
async function single() {
  const url = await places.PostgreSQL();
  const database = value(await openDatabase(url, { now: 1, connections: 1 }));
  const prepared = async (beginning: string) => {
    const like = raw<{ statement: string }>`select statement from pg_prepared_statements
      where statement like ${`${beginning}%`}`;
    return (await like.execute(database.sql)).rows.length;
  };
  return { database, prepared };
}

describe("prepared statements", () => {
  test("what is asked once uses up none of the names", async () => {
    const { database, prepared } = await single();
    try {
      for (let n = 0; n < 300; n++) await raw`select ${raw.lit(n)}::int as once`.execute(database.sql);
      for (let n = 0; n < 2; n++) await raw`select ${n}::int as again`.execute(database.sql);
      assert.equal(await prepared("select 299"), 0);
      assert.equal(await prepared("select $1::int as again"), 1);
    } finally {
      await database.close();
    }
  });

  test("leases are claimed by the hundred in the same words, whenever", async () => {
    const { database, prepared } = await single();
    try {
      for (const now of [1_000, 2_000, 3_000]) {
        const wanted = { names: [`item ${now}`], holder: "me", now, forMs: 500 };
        const claimed = await claimLeases(database.sql, database.differences.rows, wanted);
        assert.equal(claimed.get(`item ${now}`)?.untilMs, now + 500);
      }
      assert.equal(await prepared('insert into "leases"'), 1);
    } finally {
      await database.close();
    }
  });
});

describe("rows of a sweep that the statistics know nothing of", () => {
  type Call = (database: Database, positions: readonly number[]) => Promise<void>;
  const held = { shard: { sweep_id: 2 } } as Held;
  const calls: Record<string, Call> = {
    "attempts are counted": (database, positions) =>
      countAttempts(
        { database },
        database.sql,
        held,
        positions.map((position) => ({ position }) as Entry),
      ),
    "acknowledgements are written": (database, positions) =>
      writeAcknowledged(
        { database },
        database.sql,
        2,
        positions.map((position) => ({ position, at: 1 })),
      ),
  };
  for (const [name, call] of Object.entries(calls)) {
    test(`${name} row by row, not by going through the sweep`, async () => {
      const { database } = await single();
      const { sql } = database;
      const write = async (sweep: number) =>
        void (await raw`insert into sweep_items (sweep_id, position, item_id, token_version, state)
          select ${sweep}::bigint, n, 'item ' || n, 1, 'healthy' from generate_series(0, 49999) as n`.execute(
          sql,
        ));
      await write(1);
      await raw`analyze sweep_items`.execute(sql);
      await write(2);
      await raw`begin`.execute(sql);
      await call(
        database,
        Array.from({ length: 250 }, (_, n) => 200 * n),
      );
      const read = await raw<{ rows: number }>`select (seq_tup_read + idx_tup_fetch)::int as rows
        from pg_stat_xact_user_tables where relid = 'sweep_items'::regclass`.execute(sql);
      await raw`rollback`.execute(sql);
      await database.close();
      assert.equal(read.rows[0]!.rows, 250);
    });
  }
});

describe("over a keeper's life", () => {
  const asked = new Set<string>();
  const { query } = pg.Client.prototype;
  before(() => {
    pg.Client.prototype.query = function (this: pg.Client, ...given: unknown[]) {
      const [first] = given as [string | { readonly text: string }];
      asked.add(typeof first === "string" ? first : first.text);
      return query.apply(this, given as never);
    } as typeof query;
  });
  after(() => void (pg.Client.prototype.query = query));

  test("no time and no id of an Item stands in a statement's text", async () => {
    const { keeper, items, close } = await fleet(await places.PostgreSQL(), escrowFolder(), 4);
    try {
      const [one, other, last] = items as [string, string, string];
      value(await keeper.use(one, async () => "used"));
      value(await keeper.get(one));
      value(await keeper.rotate(one));
      value(await keeper.updateWebhook(other, "https://keeper.example/plaid"));
      value(await keeper.remove(last));
      const worker = keeper.sweeps.work(quick);
      for (const [operation, options] of [
        ["audit", {}],
        ["webhook", { webhook: "https://keeper.example/moved", acknowledgeWithinMs: 0 }],
        ["rotate", {}],
        ["reencrypt", {}],
      ] as const) {
        const { sweep_id } = value(await keeper.sweep(operation, options));
        while (value(await keeper.sweeps.status(sweep_id)).ended_at === null)
          await new Promise((resolve) => setImmediate(resolve));
      }
      await worker.close();
      value(await keeper.recover());
      value(await keeper.prune({ before: 0 }));
      assert.ok(asked.size > 50, `${asked.size} texts`);
      const isTold = (text: string) => /\d{13}/.test(text) || items.some((id) => text.includes(id));
      assert.deepEqual([...asked].filter(isTold), []);
    } finally {
      await close();
    }
  });
});
