// PostgreSQL through a pool of `pg`. Statements are prepared by name, and sent without waiting for the answer to the
// one before (pipelining): BEGIN travels with a transaction's first statement, and statements that a transaction starts
// together take one round trip.

import { createHash } from "node:crypto";
import pg from "pg";
import { CompiledQuery, type QueryResult } from "kysely";
import { createSql, type Run, type Sql } from "./connection.ts";
import { postgres } from "./differences.ts";
import { closedFailure, perform, type Engine, type Work } from "./engine.ts";
import { databaseFailure, DatabaseError, fromPostgres } from "./failure.ts";
import { gathered } from "./gathered.ts";
import { atOnce, type Given, type Plan } from "./together.ts";

const { Pool } = pg;

/** The schema of ours within the database. */
const schema = "sett";
const connectMs = 10_000;
const lockMs = 10_000;
/** How often work that lost a deadlock is done again. */
const deadlockTries = 3;
/** A server keeps each prepared statement for as long as the connection lasts. */
const maxPrepared = 200;
/** Texts that were asked once: so many may come before one of them comes again. */
const maxOnce = 1_000;

const bigint = 20;

interface Bounds {
  readonly connections: number;
  readonly patienceMs: number;
  readonly statementMs: number;
}

export async function openPostgres(
  url: string,
  { connections, patienceMs, statementMs }: Bounds,
): Promise<Engine> {
  const pool = new Pool({
    connectionString: url,
    max: connections,
    application_name: "sett",
    // Every question has its index. A plan that was made and kept while a table was small must not go on to read it
    // whole when it has grown: links became slower with each Item that was there.
    options: `-c search_path=${schema} -c enable_seqscan=off`,
    connectionTimeoutMillis: connectMs,
    lock_timeout: lockMs,
    statement_timeout: statementMs,
    idle_in_transaction_session_timeout: Math.max(1, Math.ceil(patienceMs)),
    keepAlive: true,
    pipeline: true,
    // Times and counters, all of them far below 2 ** 53.
    types: {
      getTypeParser: ((id: number, format?: "text" | "binary") =>
        id === bigint ? Number : pg.types.getTypeParser(id, format)) as typeof pg.types.getTypeParser,
    },
  });
  // A connection that dies while nothing is asked of it says so in an event, which would end the process if nobody
  // listened; whoever asks something of it next is told.
  pool.on("error", () => {});
  pool.on("connect", (client) => void client.on("error", () => {}));
  let ending: Promise<void> | undefined;

  const nameOf = names();
  const query = async (client: pg.Pool | pg.PoolClient, { sql, parameters }: CompiledQuery) => {
    const name = nameOf(sql);
    const values = parameters as unknown[];
    refuseUnlessBindable(values);
    try {
      const { rows, rowCount } = await client.query(
        name === undefined ? { text: sql, values } : { name, text: sql, values },
      );
      const result: QueryResult<unknown> = { rows };
      return rowCount === null ? result : { ...result, numAffectedRows: BigInt(rowCount) };
    } catch (error) {
      const said = fromPostgres(error);
      // On its own, a statement is its own commit.
      const isLost = client === pool && said.failure.kind === "unavailable" && !isLook.test(sql);
      throw isLost ? new DatabaseError({ ...said.failure, committed: "unknown" }) : said;
    }
  };
  const onItsOwn: Run = (compiled) => {
    if (ending !== undefined) throw closedFailure();
    return query(pool, compiled);
  };
  const { sql, bind } = createSql(postgres.spelling, onItsOwn);

  /** Where a transaction is given more patience than a statement may take, each of its statements has it too. */
  const begin = (given = 0) =>
    given <= statementMs
      ? "begin"
      : `begin; set local statement_timeout = ${given === Infinity ? 0 : Math.ceil(given)}`;

  async function once<Value>(work: Work<Value>, given: number | undefined): Promise<Value> {
    if (ending !== undefined) throw closedFailure();
    const client = await pool.connect().catch((error: unknown) => {
      throw fromPostgres(error);
    });
    const say = (text: string) =>
      client.query(text).catch((error: unknown) => {
        throw fromPostgres(error);
      });
    let over = false; // only a connection that is known to be out of the transaction goes back into the pool
    const rollBack = () =>
      say("rollback").then(
        () => (over = true),
        () => {}, // then the connection goes, and the transaction with it
      );
    try {
      const begun = say(begin(given));
      begun.catch(() => {}); // awaited below, unless the work has failed before
      const bound = bind((compiled) => query(client, compiled));
      let outcome;
      try {
        outcome = await perform(work, bound, given ?? patienceMs);
        await begun;
      } catch (error) {
        await rollBack();
        throw error;
      }
      if (!outcome.commit) {
        await rollBack();
        return outcome.value;
      }
      const { command } = await say("commit").catch(({ failure }: DatabaseError) => {
        // A server that panics while it commits says of what, with the code of that.
        const isSure = failure.kind === "constraint" || failure.kind === "busy";
        throw new DatabaseError({ ...failure, committed: isSure ? "no" : "unknown" });
      });
      over = true;
      // PostgreSQL's answer to COMMIT when a statement had failed: one that nobody awaited, here.
      if (command !== "COMMIT") {
        throw bound.connection.failed?.error ?? new DatabaseError(databaseFailure("refused", "rolled back"));
      }
      return outcome.value;
    } finally {
      client.release(!over);
    }
  }

  const transaction = async <Value>(work: Work<Value>, given?: number): Promise<Value> => {
    for (let tries = 1; ; tries++) {
      try {
        return await once(work, given);
      } catch (error) {
        const code = error instanceof DatabaseError ? error.failure.code : null;
        if ((code !== "40P01" && code !== "40001") || tries >= deadlockTries) throw error;
      }
    }
  };

  const read = <Value>(work: (sql: Sql) => Promise<Value>, given: number) =>
    transaction(async (sql) => ({ commit: true, value: await work(sql) }), given);

  const together = (plan: Plan) => {
    const statement = atOnce(plan);
    return gathered(async (given: Given) => {
      const asked = statement(given);
      if (asked) await onItsOwn(asked);
    });
  };

  const close = () => (ending ??= pool.end());
  try {
    await refuseIfNotDurable(onItsOwn);
  } catch (error) {
    await close();
    throw error;
  }
  return { differences: postgres, sql, run: onItsOwn, transaction, read, together, close };
}

/** Names for what is asked more than once, under which it is prepared. What is asked once must not use them up. */
function names(): (text: string) => string | undefined {
  const known = new Map<string, string>();
  const once = new Set<string>();
  return (text) => {
    const name = known.get(text);
    if (name !== undefined || known.size >= maxPrepared) return name;
    if (!once.delete(text)) {
      if (once.size >= maxOnce) once.clear();
      once.add(text);
      return undefined;
    }
    const given = `sett_${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;
    known.set(text, given);
    return given;
  };
}

/** What changes nothing, so that it does not matter whether it was carried out. */
const isLook = /^\s*(select|show)\b/;

/**
 * As SQLite has it. `pg` would make a text of anything, or fail when half of the statement is sent: it then takes the
 * statement for prepared on that connection, which the server has been told to forget.
 */
function refuseUnlessBindable(values: readonly unknown[]): void {
  for (const value of values) {
    if (typeof value === "string" || typeof value === "number" || value === null || value === undefined)
      continue;
    if (Array.isArray(value)) refuseUnlessBindable(value);
    else if (!(value instanceof Uint8Array) && !/^(bigint|boolean)$/.test(typeof value))
      throw new TypeError("PostgreSQL is given texts, numbers, bytes and null, and arrays of them");
  }
}

async function refuseIfNotDurable(run: Run): Promise<void> {
  const ask = async (text: string) => (await run(CompiledQuery.raw(text))).rows[0] as Record<string, unknown>;
  const { fsync } = await ask("show fsync");
  const { synchronous_commit } = await ask("show synchronous_commit");
  if (fsync !== "on" || synchronous_commit === "off") {
    const detail = `PostgreSQL is set to fsync = ${fsync}, synchronous_commit = ${synchronous_commit}`;
    throw new DatabaseError(databaseFailure("not-durable", detail));
  }
  const { search_path } = await ask("show search_path");
  if (search_path !== schema) {
    const detail = `the connection does not keep its search_path (a pooler in between?): it is to be "${schema}"`;
    throw new DatabaseError(databaseFailure("refused", detail));
  }
}
