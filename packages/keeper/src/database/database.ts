// The keeper's database: SQLite in a folder, or PostgreSQL at a URL, behind one face. What goes wrong in it comes back
// as a value; what is thrown is a mistake in the program.

import { join } from "node:path";
import type { Compilable } from "kysely";
import { err, ok, type Result } from "sett";
import type { Sql } from "./connection.ts";
import type { Differences } from "./differences.ts";
import type { Engine } from "./engine.ts";
import { DatabaseError, type DatabaseFailure } from "./failure.ts";
import { migrate } from "./migrate.ts";
import { migrations, type Migration } from "./migrations.ts";
import { openPostgres } from "./postgres.ts";
import { openSqlite } from "./sqlite.ts";
import { planOf, type Build, type Kinds, type RowOf } from "./together.ts";

export interface DatabaseOptions {
  /** The time, for the record of what was done to the schema. */
  readonly now: number;
  /** How long a transaction may stay open, in milliseconds; 5 000 unless told. It holds locks that others wait for. */
  readonly patienceMs?: number | undefined;
  /** How long PostgreSQL may take over one statement, in milliseconds, unless it is given more patience; 60 000 unless told. */
  readonly statementMs?: number | undefined;
  /** The largest number of connections to PostgreSQL; 10 unless told. */
  readonly connections?: number | undefined;
  /** The schema's steps; ours unless told. */
  readonly migrations?: readonly Migration[] | undefined;
}

export interface Database {
  readonly name: "sqlite" | "postgres";
  readonly differences: Pick<Differences, "lockRows" | "rows" | "clock">;
  /** Statements each on its own. They throw `DatabaseError`; `read` gives a value instead. */
  readonly sql: Sql;
  /**
   * Does the work in one transaction and gives what it gives, on disk. An `err` rolls it back, and so does a throw.
   * The work waits for nothing but its own statements, may be done again after a deadlock, and is written for READ
   * COMMITTED: what it decides by, it locks or tests in the statement that changes it. More patience than a statement
   * may take, given here, holds for each of its statements too.
   */
  transaction<Value, Problem>(
    work: (sql: Sql) => Promise<Result<Value, Problem>>,
    options?: { readonly patienceMs?: number | undefined },
  ): Promise<Result<Value, Problem | DatabaseFailure>>;
  /** Statements each on its own, their failure as a value. With patience given they may take that long, all together. */
  read<Value>(
    work: (sql: Sql) => Promise<Value>,
    options?: { readonly patienceMs?: number | undefined },
  ): Promise<Result<Value, DatabaseFailure>>;
  /**
   * A statement on its own that is asked so often that putting it together each time would show: it is compiled
   * once, with `value(name)` wherever a value goes that differs from time to time.
   */
  statement<Values extends object, Row>(
    build: (sql: Sql, value: <Name extends keyof Values>(name: Name) => Values[Name]) => Compilable<Row>,
  ): (values: Values) => Promise<Result<Row[], DatabaseFailure>>;
  /**
   * Statements that always go together and are asked often: compiled once, over tables of values of which there may be
   * any number of rows, and done all or nothing, in few round trips. None of them may look at what another one does.
   */
  together<Tables extends Readonly<Record<string, Kinds>>>(
    tables: Tables,
    build: Build<Tables>,
  ): (given: {
    readonly [Name in keyof Tables]: readonly RowOf<Tables[Name]>[];
  }) => Promise<Result<undefined, DatabaseFailure>>;
  /** The `seq` up to which the events are complete: no transaction still open can add one at or below it. */
  horizon(): Promise<Result<number, DatabaseFailure>>;
  /** How often something was not done because what it refers to is not there: whoever keeps in mind what may be meant looks again when this grows. */
  dangling(): number;
  close(): Promise<void>;
}

/**
 * Opens, and makes or updates, the database at `url`: a folder (`./sett-data`), a file (`sqlite:items.db`) or a
 * `postgres://` URL. Throws a TypeError for any other text.
 */
export async function openDatabase(
  url: string,
  options: DatabaseOptions,
): Promise<Result<Database, DatabaseFailure>> {
  const { now, migrations: steps = migrations } = options;
  const open = opener(url, options);
  return asValue(async () => {
    const engine = await open();
    try {
      await migrate(engine, steps, now);
    } catch (error) {
      await engine.close();
      throw error;
    }
    return database(engine);
  });
}

function opener(
  url: string,
  { patienceMs = 5_000, statementMs = 60_000, connections = 10 }: DatabaseOptions,
): () => Promise<Engine> {
  if (/^postgres(ql)?:\/\//.test(url))
    return () => openPostgres(url, { connections, patienceMs, statementMs });
  const [, scheme, rest] = /^(sqlite:|[a-z][a-z+.-]+:(?=\/\/))?(.*)$/is.exec(url)!;
  const file = scheme === undefined ? join(rest!, "sett.db") : rest!;
  if (rest === "" || rest === ":memory:" || (scheme !== undefined && scheme !== "sqlite:")) {
    throw new TypeError('the database must be a folder, "sqlite:" and a file, or a postgres:// URL');
  }
  return async () => openSqlite(file, patienceMs);
}

function database(engine: Engine): Database {
  const horizon = engine.differences.horizon();
  let dangling = 0;
  const said = (error: unknown) => {
    const failed = failureIn(error);
    if (failed.error.constraint === "foreign-key") dangling++;
    return failed;
  };
  const asSaid = <Value>(work: () => Promise<Value>) => asValue(work, said);
  return {
    name: engine.differences.name,
    differences: engine.differences,
    sql: engine.sql,
    transaction: async (work, { patienceMs } = {}) => {
      const outcome = await asSaid(() =>
        engine.transaction(async (sql) => {
          const result = await work(sql);
          return { commit: result.ok, value: result };
        }, patienceMs),
      );
      return outcome.ok ? outcome.value : outcome;
    },
    read: (work, { patienceMs } = {}) =>
      asSaid(() => (patienceMs === undefined ? work(engine.sql) : engine.read(work, patienceMs))),
    statement: (build) => {
      const compiled = build(engine.sql, (name) => new Later(name) as never).compile(); // a value, as far as Kysely looks
      // Not through `asSaid`: with every function that waits for another one, so quick a statement is slower.
      return async (values) => {
        const parameters = compiled.parameters.map((parameter) =>
          parameter instanceof Later ? values[parameter.name as keyof typeof values] : parameter,
        );
        try {
          return ok((await engine.run({ ...compiled, parameters })).rows as never[]);
        } catch (error) {
          return said(error);
        }
      };
    },
    together: (tables, build) => {
      const run = engine.together(planOf(engine.sql, tables, build));
      return (given) => asSaid(async () => void (await run(given as never)));
    },
    horizon: () => asValue(() => horizon(engine.sql)),
    dangling: () => dangling,
    close: () => engine.close(),
  };
}

/** Stands for a value that is given when the statement is run. */
class Later {
  readonly name: PropertyKey;

  constructor(name: PropertyKey) {
    this.name = name;
  }
}

async function asValue<Value>(
  work: () => Promise<Value>,
  said = failureIn,
): Promise<Result<Value, DatabaseFailure>> {
  try {
    return ok(await work());
  } catch (error) {
    return said(error);
  }
}

/** Throws what is no word of the database's: a mistake in the program. */
function failureIn(error: unknown) {
  if (error instanceof DatabaseError) return err(error.failure);
  throw error;
}
