// What the keeper may rely on of its database, whichever it is.

import assert from "node:assert/strict";
import { once } from "node:events";
import { fork } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { sql as raw, type CompiledQuery } from "kysely";
import { err, ok, type Result } from "sett";
import { openDatabase, type Database, type DatabaseOptions } from "../../src/database/database.ts";
import { DatabaseError, type DatabaseFailure } from "../../src/database/failure.ts";
import { claimLease, holdLease, releaseLease, renewLease } from "../../src/database/leases.ts";
import { migrations } from "../../src/database/migrations.ts";
import type { ItemsTable } from "../../src/database/schema.ts";
import type { Insertable } from "kysely";

export interface Place {
  readonly name: string;
  /** A URL where there is no database of ours yet. */
  empty(): Promise<string>;
}

export const now = Date.UTC(2026, 10, 24);

export const keyRow = {
  key_id: "k1",
  environment: "sandbox",
  purpose: "seal",
  wrapped: Buffer.from("wrapped"),
  kek_id: "kek",
  created_at: now,
} as const;

export const itemRow = (
  item_id: string,
  more: Partial<Insertable<ItemsTable>> = {},
): Insertable<ItemsTable> => ({
  item_id,
  environment: "sandbox",
  state: "healthy",
  token: Buffer.from("envelope"),
  key_id: "k1",
  token_at: now,
  linked_at: now,
  ...more,
});

export function value<Value>(result: Result<Value, unknown>): Value {
  assert.ok(result.ok, `expected a value, got ${JSON.stringify(result)}`);
  return result.value;
}

export function failure<Problem>(result: Result<unknown, Problem>): Problem {
  assert.ok(!result.ok, "expected a failure, got a value");
  return result.error;
}

export function databaseContract(place: Place): void {
  describe(`a database: ${place.name}`, () => {
    let url: string;
    let database: Database;
    const open = async (more: Partial<DatabaseOptions> = {}) => openDatabase(url, { now, ...more });
    const count = async (of: Database = database) =>
      (
        await of.sql
          .selectFrom("items")
          .select((is) => is.fn.countAll().as("n"))
          .executeTakeFirstOrThrow()
      ).n;

    before(async () => {
      url = await place.empty();
      database = value(await open());
      await database.sql.insertInto("keys").values(keyRow).execute();
    });
    after(() => database.close());

    test("bytes, times and text come back as they were", async () => {
      const token = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const at = Number.MAX_SAFE_INTEGER;
      const row = itemRow("as they were", {
        token,
        token_at: at,
        institution_name: "Zoë's Bank 🏦",
        user_id: null,
      });
      await database.sql.insertInto("items").values(row).execute();
      const found = await database.sql
        .selectFrom("items")
        .selectAll()
        .where("item_id", "=", "as they were")
        .executeTakeFirstOrThrow();
      assert.ok(Buffer.isBuffer(found.token));
      assert.deepEqual(found.token, token);
      assert.equal(found.token_at, at);
      assert.equal(found.institution_name, "Zoë's Bank 🏦");
      assert.equal(found.user_id, null);
      assert.equal(found.token_version, 1);
    });

    test("a transaction that ends in an err, or in a throw, leaves nothing", async () => {
      const before = await count();
      const refused = await database.transaction(async (sql) => {
        await sql.insertInto("items").values(itemRow("err")).execute();
        return err("lease lost" as const);
      });
      assert.equal(failure(refused), "lease lost");
      const mistake = new Error("mine");
      await assert.rejects(
        database.transaction(async (sql) => {
          await sql.insertInto("items").values(itemRow("throw")).execute();
          throw mistake;
        }),
        mistake,
      );
      assert.equal(await count(), before);
    });

    test("nothing of a transaction is seen before it ends", async () => {
      const before = await count();
      let during: unknown;
      await database.transaction(async (sql) => {
        await sql.insertInto("items").values(itemRow("unseen")).execute();
        during = await count();
        return ok(undefined);
      });
      assert.equal(during, before);
      assert.equal(await count(), Number(before) + 1);
    });

    test("of many transactions at once, those that fail take nothing with them", async () => {
      await database.sql.insertInto("items").values(itemRow("there before")).execute();
      const outcomes = await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          database.transaction(async (sql) => {
            await sql
              .insertInto("items")
              .values(itemRow(`many ${index}`))
              .execute();
            if (index % 3 === 1) return err("no");
            if (index % 3 === 2) await sql.insertInto("items").values(itemRow("there before")).execute();
            return ok(index);
          }),
        ),
      );
      const kept = await database.sql
        .selectFrom("items")
        .select("item_id")
        .where("item_id", "like", "many %")
        .execute();
      assert.deepEqual(
        kept.map(({ item_id }) => item_id).sort(),
        Array.from({ length: 20 }, (_, index) => `many ${index * 3}`).sort(),
      );
      for (const [index, outcome] of outcomes.entries()) {
        if (index % 3 === 0) assert.equal(value(outcome), index);
        else if (index % 3 === 1) assert.equal(failure(outcome), "no");
        else assert.equal((failure(outcome) as DatabaseFailure).constraint, "unique");
      }
    });

    test("a statement that failed fails its transaction, even if somebody caught it", async () => {
      const before = await count();
      const outcome = await database.transaction(async (sql) => {
        await sql.insertInto("items").values(itemRow("caught")).execute();
        await sql
          .insertInto("items")
          .values(itemRow("caught"))
          .execute()
          .catch(() => {});
        return ok("done");
      });
      assert.equal((failure(outcome) as DatabaseFailure).kind, "constraint");
      assert.equal(await count(), before);
    });

    test("statements started together are one transaction's", async () => {
      const outcome = await database.transaction(async (sql) => {
        await Promise.all([
          sql.insertInto("items").values(itemRow("together 1")).execute(),
          sql.insertInto("items").values(itemRow("together 2")).execute(),
          sql.updateTable("items").set({ revision: 7 }).where("item_id", "=", "together 1").execute(),
        ]);
        return ok(undefined);
      });
      assert.ok(outcome.ok);
      const rows = await database.sql
        .selectFrom("items")
        .select("revision")
        .where("item_id", "like", "together _")
        .orderBy("item_id")
        .execute();
      assert.deepEqual(rows, [{ revision: 7 }, { revision: 1 }]);
    });

    test("a transaction that is over takes no more statements", async () => {
      let left: typeof database.sql | undefined;
      await database.transaction(async (sql) => {
        left = sql;
        return ok(undefined);
      });
      await assert.rejects(left!.selectFrom("items").selectAll().execute(), /is over/);
    });

    test("a transaction that waits for something else is rolled back", async () => {
      const own = value(await open({ patienceMs: 50 }));
      const before = await count();
      let late: Promise<unknown> | undefined;
      const outcome = await own.transaction(async (sql) => {
        await sql.insertInto("items").values(itemRow("overdue")).execute();
        await new Promise((resolve) => setTimeout(resolve, 200));
        late = sql.insertInto("items").values(itemRow("later still")).execute();
        late.catch(() => {});
        return ok(undefined);
      });
      assert.equal((failure(outcome) as DatabaseFailure).kind, "busy");
      assert.ok(value(await own.transaction(async () => ok(1))));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await assert.rejects(late!, /is over/);
      assert.equal(await count(), before);
      await own.close();
    });

    test("what was given more patience than a statement may take is not stopped, and it alone", async () => {
      const own = value(await open({ statementMs: 100, connections: 1 }));
      // SQLite stops no statement.
      const slow = async (sql: Database["sql"]) =>
        void (await (own.name === "sqlite" ? raw`select 1` : raw`select pg_sleep(0.25)`).execute(sql));
      const isStopped = (done: Result<unknown, DatabaseFailure>) => {
        if (own.name === "sqlite") value(done);
        else assert.deepEqual([failure(done).kind, failure(done).code], ["busy", "57014"]);
      };
      const add = (id: string, patienceMs?: number) =>
        own.transaction<undefined, never>(
          async (sql) => {
            await slow(sql);
            await sql.insertInto("items").values(itemRow(id)).execute();
            return ok(undefined);
          },
          { patienceMs },
        );
      for (const patienceMs of [30_000, Infinity]) {
        value(await add(`slow ${patienceMs}`, patienceMs));
        value(await own.read(slow, { patienceMs }));
        // The same connection, afterwards.
        isStopped(await add(`stopped ${patienceMs}`));
        isStopped(await own.read(slow));
      }
      const there = await own.sql
        .selectFrom("items")
        .select("item_id")
        .where((is) => is.or([is("item_id", "like", "slow%"), is("item_id", "like", "stopped%")]))
        .execute();
      assert.equal(there.length, own.name === "sqlite" ? 4 : 2);
      await own.close();
    });

    test("the rules of the schema are kept, and named", async () => {
      const add = (row: Insertable<ItemsTable>) =>
        database.read((sql) => sql.insertInto("items").values(row).execute());
      assert.equal(failure(await add(itemRow("x", { key_id: "no such key" }))).constraint, "foreign-key");
      assert.equal(failure(await add(itemRow("x", { token: null, key_id: null }))).constraint, "check");
      assert.equal(
        failure(await add(itemRow("x", { state: "removed", removed_at: now }))).constraint,
        "check",
      );
      assert.equal(failure(await add(itemRow("x", { key_id: null }))).constraint, "check");
      const retired = await database.read((sql) =>
        sql.deleteFrom("keys").where("key_id", "=", "k1").execute(),
      );
      assert.equal(failure(retired).constraint, "foreign-key");
      assert.ok(
        (await add(itemRow("tombstone", { state: "removed", token: null, key_id: null, removed_at: now })))
          .ok,
      );
    });

    test("an Item has one open intent of a kind", async () => {
      const intent = { environment: "sandbox", kind: "rotate", item_id: "i", opened_at: now } as const;
      const add = (intent_id: string, more = {}) =>
        database.read((sql) =>
          sql
            .insertInto("intents")
            .values({ ...intent, intent_id, ...more })
            .execute(),
        );
      assert.ok((await add("a")).ok);
      assert.equal(failure(await add("b")).constraint, "unique");
      assert.ok((await add("c", { kind: "remove" })).ok);
      await database.sql
        .updateTable("intents")
        .set({ settled_at: now, outcome: "done" })
        .where("intent_id", "=", "a")
        .execute();
      assert.ok((await add("d")).ok);
    });

    test("a failure holds no value of the statement that failed", async () => {
      const secret = "access-sandbox-0000";
      const row = itemRow(secret, { token: Buffer.from(secret) });
      await database.sql.insertInto("items").values(row).execute();
      const thrown = await database.sql
        .insertInto("items")
        .values(row)
        .execute()
        .catch((error: unknown) => error);
      assert.ok(thrown instanceof DatabaseError);
      const { inspect } = await import("node:util");
      const printed =
        inspect(thrown, { depth: null, showHidden: true }) + JSON.stringify(thrown) + thrown.stack;
      assert.ok(!printed.includes(secret), printed);
      await database.sql.deleteFrom("items").where("item_id", "=", secret).execute();
    });

    test("many rows are one statement", async () => {
      const { rows } = database.differences;
      const given = [
        ["r1", Buffer.from([0, 255]), 1],
        ["r2", Buffer.from([]), 2],
        ["r3", Buffer.from("é"), 3],
      ] as const;
      await database.sql
        .insertInto("items")
        .values(given.map(([id]) => itemRow(id)))
        .execute();
      const table = rows("given", {
        id: { kind: "text", values: given.map(([id]) => id as string) },
        token: { kind: "bytes", values: given.map(([, token]) => token) },
        version: { kind: "integer", values: given.map(([, , version]) => version as number) },
      });
      const updated = await database.sql
        .updateTable("items")
        .from(table)
        .set((row) => ({ token: row.ref("given.token"), token_version: row.ref("given.version") }))
        .whereRef("items.item_id", "=", "given.id")
        .executeTakeFirst();
      assert.equal(updated.numUpdatedRows, 3n);
      const found = await database.sql
        .selectFrom("items")
        .select(["item_id", "token", "token_version"])
        .where("item_id", "in", ["r1", "r2", "r3"])
        .orderBy("item_id")
        .execute();
      assert.deepEqual(
        found.map(({ item_id, token, token_version }) => [item_id, token, token_version]),
        given.map((row) => [...row]),
      );
    });

    test("a statement compiled once takes other values each time", async () => {
      await database.sql
        .insertInto("items")
        .values([itemRow("s1", { revision: 1 }), itemRow("s2", { revision: 2 })])
        .execute();
      const find = database.statement<{ id: string; revision: number }, { item_id: string }>((sql, value) =>
        sql
          .selectFrom("items")
          .select("item_id")
          .where("item_id", "=", value("id"))
          .where("state", "=", "healthy")
          .where("revision", "=", value("revision")),
      );
      assert.deepEqual(value(await find({ id: "s1", revision: 1 })), [{ item_id: "s1" }]);
      assert.deepEqual(value(await find({ id: "s2", revision: 2 })), [{ item_id: "s2" }]);
      assert.deepEqual(value(await find({ id: "s2", revision: 1 })), []);
      const add = database.statement<{ row: string }, never>((sql, value) =>
        sql.insertInto("leases").values({ name: value("row"), holder: "h", fence: 1, until_ms: 0 }),
      );
      value(await add({ row: "stated" }));
      assert.equal(failure(await add({ row: "stated" })).constraint, "unique");
    });

    test("statements over tables of values are done for none, one or many rows of each, all or nothing", async () => {
      const columns = ["name", "holder", "fence", "until_ms"] as const;
      const kinds = { name: "text", holder: "text", fence: "integer", until_ms: "integer" } as const;
      const ended = { subscriber: "text" } as const;
      const write = database.together({ taken: kinds, ended }, (_, over) => [
        over("taken", (sql) =>
          sql
            .insertInto("leases")
            .columns(columns)
            .expression((from) => from.selectFrom("taken").select(columns)),
        ),
        over("ended", (sql) =>
          sql
            .deleteFrom("cursors")
            .where("subscriber", "in", (from) => from.selectFrom("ended").select("ended.subscriber")),
        ),
      ]);
      const names = async () =>
        (
          await database.sql
            .selectFrom("leases")
            .select("name")
            .where("name", "like", "over %")
            .orderBy("name")
            .execute()
        ).map(({ name }) => name);
      const lease = (name: string) => ({ name, holder: "h", fence: 1, until_ms: 0 });
      const expected: string[] = [];
      for (const taken of [0, 1, 3]) {
        for (const gone of [0, 1, 3]) {
          const subscribers = Array.from({ length: gone }, (_, at) => `over ${taken} ${gone} ${at}`);
          for (const subscriber of subscribers) {
            const cursor = { environment: "sandbox" as const, subscriber, seq: 1, updated_at: 1 };
            await database.sql.insertInto("cursors").values(cursor).execute();
          }
          const added = Array.from({ length: taken }, (_, at) => `over ${taken} ${gone} ${at}`);
          const given = {
            taken: added.map(lease),
            ended: subscribers.map((subscriber) => ({ subscriber })),
          };
          value(await write(given));
          expected.push(...added);
          assert.deepEqual(await names(), expected);
          const left = await database.sql
            .selectFrom("cursors")
            .select("subscriber")
            .where("subscriber", "like", "over %")
            .execute();
          assert.deepEqual(left, []);
          if (taken > 0) assert.equal(failure(await write(given)).constraint, "unique");
        }
      }
      const kept = { environment: "sandbox" as const, subscriber: "over all", seq: 1, updated_at: 1 };
      await database.sql.insertInto("cursors").values(kept).execute();
      const half = { taken: [lease("over new"), lease(expected[0]!)], ended: [{ subscriber: "over all" }] };
      assert.equal(failure(await write(half)).constraint, "unique");
      assert.deepEqual(await names(), expected);
      const { numDeletedRows } = await database.sql
        .deleteFrom("cursors")
        .where("subscriber", "=", "over all")
        .executeTakeFirst();
      assert.equal(numDeletedRows, 1n);
      await database.sql.deleteFrom("leases").where("name", "like", "over %").execute();
    });

    test("of many who do the same at once, one whose value cannot be takes nothing with it", async () => {
      const kinds = { name: "text", holder: "text", fence: "integer", until_ms: "integer" } as const;
      const names = ["name", "holder", "fence", "until_ms"] as const;
      const add = database.together({ added: kinds }, (_, over) => [
        over("added", (sql) =>
          sql
            .insertInto("leases")
            .columns(names)
            .expression(
              (from) =>
                from.selectFrom("added").select(names.map((name) => `added.${name}` as const)) as never,
            ),
        ),
      ]);
      const mistake = new RangeError("mine");
      const unbound = { value: database.name === "sqlite" ? {} : "\u0000" };
      const thrown = {
        get: () => {
          throw mistake;
        },
      };
      for (const bad of [unbound, thrown]) {
        const row = (at: number) => ({ name: `same ${at}`, holder: "h", fence: at, until_ms: 0 });
        const outcomes = await Promise.allSettled(
          Array.from({ length: 12 }, (_, at) => {
            const one = row(at);
            if (at === 5) Object.defineProperty(one, "holder", bad);
            return add({ added: [one] });
          }),
        );
        const told = outcomes.map((one) => (one.status === "rejected" ? (one.reason as unknown) : one.value));
        assert.deepEqual(told.toSpliced(5, 1), new Array(11).fill(ok(undefined)));
        if (bad === thrown) assert.equal(told[5], mistake);
        else if (database.name === "sqlite") assert.ok(told[5] instanceof RangeError, String(told[5]));
        else assert.equal(failure(told[5] as Result<undefined, DatabaseFailure>).code, "22021");
        const there = await database.sql
          .deleteFrom("leases")
          .where("name", "like", "same %")
          .returning("fence")
          .execute();
        assert.deepEqual(
          there.map(({ fence }) => fence).sort((a, b) => a - b),
          [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11],
        );
      }
    });

    test("a value that cannot be bound is a mistake of the program's, and of that once only", async () => {
      const own = value(await open({ connections: 1 }));
      const circle: Record<string, unknown> = {};
      circle["self"] = circle;
      const hostile = {
        toPostgres: () => {
          throw new Error("mine");
        },
      };
      const find = (name: unknown) =>
        own.transaction(async (sql) =>
          ok(
            await sql
              .selectFrom("leases")
              .select("fence")
              .where("name", "=", name as string)
              .execute(),
          ),
        );
      for (const bad of [circle, hostile, {}, new Date(0), Symbol("x")]) {
        await assert.rejects(
          find(bad),
          (thrown) => thrown instanceof TypeError || thrown instanceof RangeError,
        );
        assert.deepEqual(await find("as before"), ok([]));
      }
      await own.close();
    });

    test("what is asked of a database that has been closed is refused, and harms nobody", async () => {
      const own = value(await open());
      const find = own.statement<{ id: string }, { state: string }>((sql, value) =>
        sql.selectFrom("items").select("state").where("item_id", "=", value("id")),
      );
      const add = own.together({ added: { name: "text" } }, (_, over) => [
        over("added", (sql) =>
          sql.deleteFrom("leases").where("name", "in", (from) => from.selectFrom("added").select("name")),
        ),
      ]);
      await own.close();
      await own.close();
      const list = (sql: Database["sql"]) => sql.selectFrom("items").select("state").execute();
      const closed = { kind: "unavailable", detail: "the database has been closed" };
      const outcomes = await Promise.all([
        own.read(list),
        own.read(list, { patienceMs: 1_000 }),
        own.read((sql) => sql.deleteFrom("items").execute()),
        own.transaction(async (sql) => ok(await list(sql))),
        find({ id: "x" }),
        add({ added: [{ name: "x" }] }),
        own.horizon(),
      ]);
      for (const outcome of outcomes) {
        const { kind, detail } = failure<unknown>(outcome) as DatabaseFailure;
        assert.deepEqual({ kind, detail }, closed);
      }
      await assert.rejects(list(own.sql), DatabaseError);
    });

    test("rows that another transaction holds are left out", async () => {
      if (database.name === "sqlite") return; // writers take turns: there is no other transaction
      const other = value(await open());
      await database.sql
        .insertInto("items")
        .values([itemRow("lock 1"), itemRow("lock 2")])
        .execute();
      await database.transaction(async (sql) => {
        const query = (from: typeof sql) =>
          from.selectFrom("items").select("item_id").where("item_id", "like", "lock _");
        await database.differences.lockRows(query(sql).where("item_id", "=", "lock 1")).execute();
        const seen = await other.transaction(async (sql) => {
          return ok(await database.differences.lockRows(query(sql), "skip").execute());
        });
        assert.deepEqual(value(seen), [{ item_id: "lock 2" }]);
        return ok(undefined);
      });
      await other.close();
    });

    test("a lease has one holder, and its fence only grows", async () => {
      const claim = (holder: string, at: number) =>
        claimLease(database.sql, { name: "item:1", holder, now: at, forMs: 100 });
      const first = await claim("a", now);
      assert.equal(first?.fence, 1);
      assert.equal(await claim("b", now + 99), undefined);
      const renewed = await renewLease(database.sql, first, now + 50, 100);
      assert.equal(renewed?.untilMs, now + 150);
      assert.equal(await claim("b", now + 149), undefined);
      const second = await claim("b", now + 150);
      assert.equal(second?.fence, 2);
      assert.equal(await holdLease(database.sql, first), false);
      assert.equal(await releaseLease(database.sql, first), false);
      assert.equal(await renewLease(database.sql, first, now, 100), undefined);
      assert.equal(await holdLease(database.sql, second), true);
      assert.equal(await releaseLease(database.sql, second), true);
      assert.equal((await claim("a", now + 151))?.fence, 3);
      const crowd = await Promise.all(Array.from({ length: 40 }, (_, n) => claim(`c${n}`, now + 1000)));
      assert.equal(crowd.filter((lease) => lease !== undefined).length, 1);
    });

    test("what was done under a lease that is lost does not stay", async () => {
      const lease = await claimLease(database.sql, { name: "item:2", holder: "slow", now, forMs: 10 });
      await claimLease(database.sql, { name: "item:2", holder: "quick", now: now + 10, forMs: 10 });
      const outcome = await database.transaction(async (sql) => {
        await sql.insertInto("items").values(itemRow("under a lost lease")).execute();
        return (await releaseLease(sql, lease!)) ? ok("done") : err("lost");
      });
      assert.equal(failure(outcome), "lost");
    });

    const addEvent = (sql: Database["sql"], kind: string) =>
      sql
        .insertInto("events")
        .values({ environment: "sandbox", at: now, kind, detail: "{}" })
        .returning("seq")
        .executeTakeFirstOrThrow();

    test("the horizon never passes an event that is still to come", async () => {
      const other = value(await open());
      assert.equal(value(await database.horizon()), 0);
      const { seq: first } = await addEvent(database.sql, "first");
      assert.equal(value(await database.horizon()), first);

      // One transaction counts, another counts after it and commits before it.
      let slow: number | undefined;
      const inOrder = database.name === "sqlite"; // where the second would wait for the first
      await database.transaction(async (sql) => {
        slow = (await addEvent(sql, "slow")).seq;
        if (!inOrder) {
          const { seq: quick } = await addEvent(other.sql, "quick");
          assert.ok(quick > slow);
        }
        for (let poll = 0; poll < 3; poll++) assert.equal(value(await other.horizon()), inOrder ? first : 0);
        return ok(undefined);
      });
      const last = await database.sql
        .selectFrom("events")
        .select("seq")
        .orderBy("seq", "desc")
        .limit(1)
        .executeTakeFirstOrThrow();
      let horizon = 0;
      for (let poll = 0; poll < 2; poll++) horizon = value(await other.horizon());
      assert.equal(horizon, last.seq);
      await other.close();
    });

    test("a long transaction that has counted no event yet holds up none", async () => {
      const url = await place.empty();
      const one = value(await openDatabase(url, { now }));
      const other = value(await openDatabase(url, { now }));
      await one.transaction(async (sql) => {
        await sql.insertInto("leases").values({ name: "long", holder: "h", fence: 1, until_ms: 0 }).execute();
        // On SQLite the other would wait for its turn.
        if (one.name === "postgres") {
          const { seq } = await addEvent(other.sql, "meanwhile");
          for (let look = 0; look < 2; look++) await other.horizon();
          assert.equal(value(await other.horizon()), seq);
        }
        await addEvent(sql, "late");
        if (one.name === "postgres")
          for (let look = 0; look < 2; look++) assert.equal(value(await other.horizon()), 1);
        return ok(undefined);
      });
      for (let look = 0; look < 2; look++) await other.horizon();
      assert.equal(value(await other.horizon()), one.name === "postgres" ? 2 : 1);
      await one.close();
      await other.close();
    });

    test("an older program refuses a newer schema", async () => {
      const newer = [
        ...migrations,
        { number: migrations.length + 1, name: "later", sql: "create table later (x text);" },
      ];
      const place2 = await place.empty();
      await value(await openDatabase(place2, { now, migrations: newer })).close();
      const refused = failure(await openDatabase(place2, { now }));
      assert.equal(refused.kind, "newer-schema");
      assert.match(refused.detail, /has schema \d+ \("later"\), this program knows \d+/);
    });

    test("a step that is not ours is refused; one that is only laid out otherwise is not", async () => {
      const [first, ...rest] = migrations;
      const spaced = [{ ...first!, sql: first!.sql.replaceAll("\n", "\n  ") }, ...rest];
      assert.ok((await open({ migrations: spaced })).ok);
      const changed = [{ ...first!, sql: `${first!.sql} create table more (x text);` }, ...rest];
      assert.equal(failure(await open({ migrations: changed })).kind, "changed-schema");
    });

    test("a database made by any earlier schema opens under this one, with all that is in it", async () => {
      for (let steps = 1; steps <= migrations.length; steps++) {
        const made = await place.empty();
        const old = value(await openDatabase(made, { now, migrations: migrations.slice(0, steps) }));
        // Written as that schema had it: later columns are not named.
        await raw`insert into keys (key_id, environment, purpose, wrapped, kek_id, created_at)
          values ('k1', 'sandbox', 'seal', ${Buffer.from("w")}, 'kek', 1)`.execute(old.sql);
        await raw`insert into items (item_id, environment, state, token, key_id, token_at, linked_at)
          values ('kept', 'sandbox', 'healthy', ${Buffer.from("envelope")}, 'k1', 1, 1)`.execute(old.sql);
        await old.close();
        const today = value(await openDatabase(made, { now }));
        const row = await today.sql
          .selectFrom("items")
          .selectAll()
          .where("item_id", "=", "kept")
          .executeTakeFirstOrThrow();
        assert.deepEqual([row.state, row.token, row.token_version], ["healthy", Buffer.from("envelope"), 1]);
        assert.equal(
          (await today.sql.selectFrom("migrations").selectAll().execute()).length,
          migrations.length,
        );
        await today.close();
      }
    });

    test("a step that fails leaves the schema as it was", async () => {
      const bad = [
        ...migrations,
        {
          number: migrations.length + 1,
          name: "bad",
          sql: "create table half (x text);\ncreate table keys (x text);",
        },
      ];
      assert.equal(failure(await open({ migrations: bad })).kind, "refused");
      await value(await open()).close();
      assert.equal(
        await database.sql
          .selectFrom("migrations")
          .selectAll()
          .execute()
          .then((all) => all.length),
        migrations.length,
      );
    });

    test("processes that open it at once, and write at once, do not disturb each other", async () => {
      const shared = await place.empty();
      const children = Array.from({ length: 3 }, (_, index) =>
        fork(join(import.meta.dirname, "writer.ts"), [shared, String(index)], {
          execArgv: ["--conditions=@sett/source"],
          stdio: ["ignore", "inherit", "inherit", "ipc"],
        }),
      );
      const codes = await Promise.all(
        children.map(async (child) => (await once(child, "exit"))[0] as number),
      );
      assert.deepEqual(codes, [0, 0, 0]);
      const all = value(await openDatabase(shared, { now }));
      assert.equal(Number(await count(all)), 3 * 300);
      await all.close();
    });

    test("every query over all Items goes by an index", async () => {
      const { sql } = database;
      const items = sql.selectFrom("items").selectAll().where("environment", "=", "sandbox").limit(50);
      const plans: Record<string, { compile(): CompiledQuery }> = {
        "items_pkey|PRIMARY KEY": items.where("item_id", ">", "a").orderBy("item_id"),
        items_by_state: items.where("state", "=", "error").where("item_id", ">", "a").orderBy("item_id"),
        items_by_user: items.where("user_id", "=", "u").where("item_id", ">", "a").orderBy("item_id"),
        items_by_institution: items
          .where("institution_id", "=", "ins")
          .where("item_id", ">", "a")
          .orderBy("item_id"),
        items_by_age: items
          .where("removed_at", "is", null)
          .where("token_at", "<", now)
          .orderBy("token_at")
          .orderBy("item_id"),
        "items_pkey|PRIMARY KEY ": sql
          .selectFrom("items")
          .select(["item_id", "token"])
          .where("key_id", "=", "k1")
          .where("item_id", ">", "a")
          .orderBy("item_id")
          .limit(500),
        intents_open: sql
          .selectFrom("intents")
          .selectAll()
          .where("environment", "=", "sandbox")
          .where("settled_at", "is", null)
          .where("opened_at", "<", now)
          .orderBy("opened_at")
          .limit(100),
        deliveries_waiting: sql
          .selectFrom("deliveries")
          .selectAll()
          .where("environment", "=", "sandbox")
          .where("applied_at", "is", null)
          .orderBy("received_at")
          .limit(100),
        events_by_item: sql
          .selectFrom("events")
          .selectAll()
          .where("item_id", "=", "i")
          .orderBy("seq", "desc")
          .limit(50),
      };
      for (const [index, query] of Object.entries(plans)) {
        const plan = await explain(database, query.compile());
        assert.match(plan, new RegExp(`\\b(${index.trim()})\\b`), `${index}:\n${plan}`);
        assert.doesNotMatch(plan, /\bsort\b|TEMP B-TREE|Seq Scan/i, `${index}:\n${plan}`);
      }
    });
  });
}

/** The plan for values that are not known yet, as a prepared statement has it. */
export async function explain(database: Database, { sql, parameters }: CompiledQuery): Promise<string> {
  if (database.name === "sqlite") {
    const query = raw.raw(`explain query plan ${sql.replaceAll("?", "null")}`);
    const { rows } = await raw<{ detail: string }>`${query}`.execute(database.sql);
    return rows.map(({ detail }) => detail).join("\n");
  }
  const result = await database.transaction(async (trx) => {
    // The table is small here, and PostgreSQL rightly reads a small table as it lies.
    await raw`set local enable_seqscan = off`.execute(trx);
    await raw`set local enable_sort = off`.execute(trx);
    await raw`set local plan_cache_mode = force_generic_plan`.execute(trx);
    const types = parameters.map((parameter) => (typeof parameter === "number" ? "bigint" : "text"));
    await raw`${raw.raw(`prepare planned (${types.join(", ")}) as ${sql}`)}`.execute(trx);
    const values = parameters.map((parameter) =>
      typeof parameter === "number" ? parameter : `'${parameter}'`,
    );
    const { rows } = await raw<
      Record<string, string>
    >`${raw.raw(`explain execute planned (${values.join(", ")})`)}`.execute(trx);
    await raw`deallocate planned`.execute(trx);
    return ok(rows.map((row) => Object.values(row)[0]).join("\n"));
  });
  return value(result);
}
