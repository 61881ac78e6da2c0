// What the database said, in words that are the same for both, as plain data. It never holds a statement, its values
// or the connection's URL: what PostgreSQL calls the detail of an error is a row.

import pg from "pg";

/** Why the database did not do what was asked. JSON-safe; printing it is always safe. */
export interface DatabaseFailure {
  readonly kind:
    | "unavailable" // not to be reached, or lost on the way: try again
    | "busy" // others held the lock for too long, or a deadlock: try again
    | "full" // no room left on its disk
    | "constraint" // a rule of the schema would have been broken
    | "damaged" // its files are not what it wrote
    | "not-durable" // set up so that what it acknowledged could be lost
    | "newer-schema" // made by a later version of this program
    | "changed-schema" // a step of the schema is not the one that this program knows
    | "refused"; // anything else
  /** Whether it may have been committed all the same: where the line broke during the commit, or a statement on its own. */
  readonly committed: "no" | "unknown";
  readonly constraint: "unique" | "foreign-key" | "check" | "not-null" | null;
  /** The database's own code, such as `SQLITE_FULL` or `53100`. */
  readonly code: string | null;
  readonly detail: string;
}

/** A failure on its way out of a statement: what Kysely's own functions throw. Inside `transaction` and `read` it becomes a value. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  readonly failure: DatabaseFailure;

  constructor(failure: DatabaseFailure) {
    super(`${failure.kind}: ${failure.detail}`);
    this.failure = failure;
  }
}

export const databaseFailure = (
  kind: DatabaseFailure["kind"],
  detail: string,
  more: Partial<DatabaseFailure> = {},
): DatabaseFailure => ({ kind, committed: "no", constraint: null, code: null, detail, ...more });

/** What a database's code means: the first that fits. */
type ByCode<Meaning> = readonly (readonly [RegExp, Meaning])[];

const meaningOf = <Meaning>(table: ByCode<Meaning>, code: string): Meaning | undefined =>
  table.find(([pattern]) => pattern.test(code))?.[1];

const sqliteKinds: ByCode<DatabaseFailure["kind"]> = [
  [/^SQLITE_(BUSY|LOCKED)/, "busy"],
  [/^SQLITE_FULL/, "full"],
  [/^SQLITE_CONSTRAINT/, "constraint"],
  [/^SQLITE_(CORRUPT|NOTADB)/, "damaged"],
  [/^SQLITE_(IOERR|CANTOPEN|READONLY|PROTOCOL)/, "unavailable"],
];

const sqliteConstraints: ByCode<DatabaseFailure["constraint"]> = [
  [/UNIQUE|PRIMARYKEY/, "unique"],
  [/FOREIGNKEY/, "foreign-key"],
  [/CHECK/, "check"],
  [/NOTNULL/, "not-null"],
];

/** Of an error that better-sqlite3 threw; anything else (a value that it cannot bind) is a mistake and stays itself. */
export function fromSqlite(thrown: unknown): unknown {
  if (thrown instanceof DatabaseError) return thrown;
  const { code, message } = thrown as { code?: unknown; message?: unknown };
  if (typeof code !== "string" || !code.startsWith("SQLITE_")) return thrown;
  const kind = meaningOf(sqliteKinds, code) ?? "refused";
  const constraint = meaningOf(sqliteConstraints, code) ?? null;
  return new DatabaseError(databaseFailure(kind, String(message), { code, constraint }));
}

const postgresConstraints: ByCode<DatabaseFailure["constraint"]> = [
  [/^23505/, "unique"],
  [/^23503/, "foreign-key"],
  [/^23514/, "check"],
  [/^23502/, "not-null"],
];

const postgresKinds: ByCode<DatabaseFailure["kind"]> = [
  [/^(40001|40P01|55P03|57014)/, "busy"],
  [/^53100/, "full"],
  [/^23/, "constraint"],
  [/^(XX00[12]|58030)/, "damaged"],
  // It goes down or comes up (57P), is a copy of another (25006), has ended a session that slept (25P), has no memory,
  // process or place left for one more (53), or misses what its system should have (58).
  [/^(08|25006|25P03|25P04|53|57P|58)/, "unavailable"],
];

/** Of anything that `pg` threw: what the server did not say itself is about the connection. */
export function fromPostgres(thrown: unknown): DatabaseError {
  if (thrown instanceof DatabaseError) return thrown;
  const { code, message } = Object(thrown) as { code?: unknown; message?: unknown };
  // Not told by its code alone: EPIPE has five letters too.
  const state = thrown instanceof pg.DatabaseError ? String(thrown.code) : null;
  const kind = state === null ? "unavailable" : (meaningOf(postgresKinds, state) ?? "refused");
  const constraint = meaningOf(postgresConstraints, state ?? "") ?? null;
  return new DatabaseError(
    databaseFailure(kind, String(message), { code: typeof code === "string" ? code : null, constraint }),
  );
}
