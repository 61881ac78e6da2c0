// What the keeper asks of a database, and the piece of it that is the same for both: a piece of work that has one
// connection to itself, and an end.

import type { BoundSql, Run, Sql } from "./connection.ts";
import type { Differences } from "./differences.ts";
import { databaseFailure, DatabaseError } from "./failure.ts";
import type { Given, Plan } from "./together.ts";

/** What a piece of work came to, and whether it is to stay. */
export interface Outcome<Value> {
  readonly commit: boolean;
  readonly value: Value;
}

export type Work<Value> = (sql: Sql) => Promise<Outcome<Value>>;

export interface Engine {
  readonly differences: Differences;
  /** Statements each on its own. */
  readonly sql: Sql;
  /** The same, for a statement that has been compiled already. */
  readonly run: Run;
  /** All or nothing, and on disk when it resolves. Throws `DatabaseError`, or what the work itself threw. */
  transaction<Value>(work: Work<Value>, patienceMs?: number): Promise<Value>;
  /** Statements each on its own, which may take so long. */
  read<Value>(work: (sql: Sql) => Promise<Value>, patienceMs: number): Promise<Value>;
  /** Makes ready what the plan says. What it gives does it, all or nothing, on disk when it resolves. */
  together(plan: Plan): (given: Given) => Promise<void>;
  close(): Promise<void>;
}

/**
 * Does the work on a connection that is its own until it is over. A statement that failed fails the whole: PostgreSQL
 * would go on to refuse everything else, SQLite would not, and code must not be able to tell.
 */
export async function perform<Value>(
  work: Work<Value>,
  { sql, connection }: BoundSql,
  patienceMs: number,
): Promise<Outcome<Value>> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const patience = new Promise<never>((_, reject) => {
      if (patienceMs === Infinity) return;
      const overdue = `a transaction that was still open after ${patienceMs} ms was rolled back`;
      timer = setTimeout(() => reject(new DatabaseError(databaseFailure("busy", overdue))), patienceMs);
    });
    const outcome = await Promise.race([work(sql), patience]);
    if (outcome.commit && connection.failed) throw connection.failed.error;
    return outcome;
  } finally {
    clearTimeout(timer);
    connection.end();
  }
}

export const closedFailure = () =>
  new DatabaseError(databaseFailure("unavailable", "the database has been closed"));
