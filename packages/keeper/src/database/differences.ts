// Every place where the language of the two databases differs, each with a name. How they are connected to, and how
// they commit, is in sqlite.ts and postgres.ts; the rest of the keeper does not know which of them it has.

import {
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type AliasedRawBuilder,
  type SelectQueryBuilder,
} from "kysely";
import type { Spelling, Sql } from "./connection.ts";

export type Kind = "text" | "bytes" | "integer";

/** A column of {@link Differences.rows}: its kind, and its value for each row. */
export interface Column<Value> {
  readonly kind: Kind;
  readonly values: readonly Value[];
}

type Columns = Record<string, Column<unknown>>;
type Row<Of extends Columns> = { [Name in keyof Of]: Of[Name] extends Column<infer Value> ? Value : never };

export interface Differences {
  readonly name: "sqlite" | "postgres";
  readonly spelling: Spelling;
  /** For the words in braces in migrations.ts. */
  readonly words: Readonly<Record<"bytes" | "integer" | "serial" | "sequence" | "strict" | "keyed", string>>;
  /** Holds the rows until the transaction ends, and leaves out those that others hold. SQLite's writers take turns anyway. */
  lockRows<DB, TB extends keyof DB, O>(
    query: SelectQueryBuilder<DB, TB, O>,
    held?: "wait" | "skip",
  ): SelectQueryBuilder<DB, TB, O>;
  /** Values as a table, for one statement over many rows. */
  rows<Of extends Columns, Alias extends string>(
    alias: Alias,
    columns: Of,
  ): AliasedRawBuilder<Row<Of>, Alias>;
  /** See {@link Horizon}. */
  horizon(): Horizon;
  /** Its own clock, in milliseconds since 1970; null where it has none but this machine's. */
  clock(database: Sql): Promise<number | null>;
  hasTable(database: Sql, name: string): Promise<boolean>;
  /** Keeps other processes from changing the schema until the transaction ends, and makes a place for it. */
  lockForMigration(transaction: Sql): Promise<void>;
}

/**
 * Up to which `seq` the events are complete: no transaction still open can add one at or below it. A subscriber
 * that reads past it could step over an event for good, as PostgreSQL commits in another order than it counts.
 */
export type Horizon = (database: Sql) => Promise<number>;

const sqliteJson = (kind: Kind, value: unknown) =>
  kind === "bytes" && value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;

export const sqlite: Differences = {
  name: "sqlite",
  spelling: {
    createAdapter: () => new SqliteAdapter(),
    createIntrospector: (database) => new SqliteIntrospector(database),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
  words: {
    bytes: "blob",
    integer: "integer",
    serial: "integer primary key autoincrement",
    sequence: "",
    strict: " strict",
    // The row lies in the tree of its primary key: one tree less to write.
    keyed: " strict, without rowid",
  },
  lockRows: (query) => query,
  // One parameter, JSON with bytes in hex: the statement's text is the same for any number of rows. A VALUES list of
  // a thousand rows takes Kysely twice as long to build as SQLite to run, and 200 MB of heap.
  rows: <Of extends Columns, Alias extends string>(alias: Alias, columns: Of) => {
    const all = Object.values(columns);
    const json = (all[0]?.values ?? []).map((_, row) =>
      all.map(({ kind, values }) => sqliteJson(kind, values[row])),
    );
    const selected = Object.entries(columns).map(([name, { kind }], at) => {
      const member = sql`value ->> ${sql.lit(at)}`;
      return sql`${kind === "bytes" ? sql`unhex(${member})` : member} as ${sql.ref(name)}`;
    });
    return sql<Row<Of>>`(select ${sql.join(selected)} from json_each(${JSON.stringify(json)}))`.as<Alias>(
      sql.ref(alias),
    );
  },
  // One writer at a time: what can be read is complete.
  horizon: () => async (database) => {
    const last = await database
      .selectFrom("events")
      .select("seq")
      .orderBy("seq", "desc")
      .limit(1)
      .executeTakeFirst();
    return last?.seq ?? 0;
  },
  clock: async () => null,
  hasTable: async (database, name) =>
    (await sql`select 1 from sqlite_schema where type = 'table' and name = ${name}`.execute(database)).rows
      .length > 0,
  lockForMigration: async () => {}, // every transaction that writes has the lock
};

/** Any number will do that nobody else in the database uses: "sett" in ASCII. */
const migrationLock = 0x73657474;

export const postgresKinds = { text: "text", bytes: "bytea", integer: "bigint" } as const;

export const postgres: Differences = {
  name: "postgres",
  spelling: {
    createAdapter: () => new PostgresAdapter(),
    createIntrospector: (database) => new PostgresIntrospector(database),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
  words: {
    bytes: "bytea",
    integer: "bigint",
    // The number is drawn only once the transaction has an id, which is what `horizon` relies on.
    serial:
      "bigint not null primary key default (case when pg_current_xact_id() is not null then nextval('events_seq') end)",
    sequence: "create sequence events_seq;",
    strict: "",
    keyed: "",
  },
  lockRows: (query, held = "wait") => (held === "skip" ? query.forUpdate().skipLocked() : query.forUpdate()),
  // One parameter a column: the statement's text, and so its plan, is the same for any number of rows.
  rows: <Of extends Columns, Alias extends string>(alias: Alias, columns: Of) => {
    const names = sql.join(Object.keys(columns).map((name) => sql.ref(name)));
    const arrays = sql.join(
      Object.values(columns).map(({ kind, values }) => sql`${values}::${sql.raw(postgresKinds[kind])}[]`),
    );
    return sql<Row<Of>>`unnest(${arrays})`.as<Alias>(sql`${sql.ref(alias)}(${names})`);
  },
  // Whoever counted an event up to `last` has an id below `begun`, which is drawn after it; once nobody with such an
  // id is left, those events are complete. (A snapshot's own upper bound would not do: it is the last id that has
  // ended.) Held in memory: ids of transactions mean nothing in a copy of the database. Somebody with such an id may take
  // long over something else, such as a sweep that is written down: so whoever was waited for once already is held
  // against those that have an INSERT's lock on the events, which is taken before an event is counted and kept until it
  // can be read. (To ask for locks costs ten times as much.)
  horizon: () => {
    let settled = 0;
    let candidate: { last: number; begun: bigint; writers?: readonly string[] } | undefined;
    return async (database) => {
      const drawn = await sql<{ last: number; any: boolean }>`
        select last_value as last, is_called as any from events_seq`.execute(database);
      const { last, any } = drawn.rows[0]!;
      let waiting = candidate;
      const isAgain = waiting !== undefined;
      if (!any || (!waiting && last === settled)) return settled;
      if (!waiting) {
        const mine = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(database);
        waiting = candidate ??= { last, begun: BigInt(mine.rows[0]!.id) };
      }
      const oldest = await sql<{ id: string }>`
        select pg_snapshot_xmin(pg_current_snapshot())::text as id`.execute(database);
      let over = BigInt(oldest.rows[0]!.id) >= waiting.begun;
      if (!over && isAgain) {
        const locks = await sql<{ writer: string }>`
          select virtualtransaction as writer from pg_locks
          where relation = 'events'::regclass and mode = 'RowExclusiveLock'
          and database = (select oid from pg_database where datname = current_database())`.execute(database);
        const writers = locks.rows.map(({ writer }) => writer);
        waiting.writers ??= writers;
        over = !waiting.writers.some((one) => writers.includes(one));
      }
      if (over) {
        settled = Math.max(settled, waiting.last);
        if (candidate === waiting) candidate = undefined;
      }
      return settled;
    };
  },
  clock: async (database) => {
    const told = await sql<{ ms: number }>`
      select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms`.execute(database);
    return told.rows[0]!.ms;
  },
  hasTable: async (database, name) => {
    const found = await sql<{ is: boolean }>`select to_regclass(${name}) is not null as is`.execute(database);
    return found.rows[0]!.is;
  },
  lockForMigration: async (transaction) => {
    await sql`set local lock_timeout = 0`.execute(transaction);
    await sql`select pg_advisory_xact_lock(${migrationLock})`.execute(transaction);
    await sql`create schema if not exists sett`.execute(transaction);
  },
};
