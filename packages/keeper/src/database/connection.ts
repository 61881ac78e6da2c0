// Kysely bound to one connection for as long as one piece of work lasts. What is left running when the work is over
// (a promise nobody awaited) is refused instead of landing in somebody else's transaction.

import {
  Kysely,
  type CompiledQuery,
  type ConnectionProvider,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from "kysely";
import type { Schema } from "./schema.ts";

export type Sql = Kysely<Schema>;

/** Runs one compiled statement. */
export type Run = (query: CompiledQuery) => Promise<QueryResult<unknown>> | QueryResult<unknown>;

/** A dialect's parts other than its driver: how it spells. */
export type Spelling = Pick<Dialect, "createAdapter" | "createIntrospector" | "createQueryCompiler">;

/** Statements one at a time, each on its own. */
export function createSql(spelling: Spelling, run: Run): { sql: Sql; bind: (run: Run) => BoundSql } {
  const connection = new Connection(run);
  const driver: Driver = {
    init: async () => {},
    acquireConnection: async () => connection,
    releaseConnection: async () => {},
    destroy: async () => {},
    beginTransaction: refuse,
    commitTransaction: refuse,
    rollbackTransaction: refuse,
  };
  const dialect: Dialect = { ...spelling, createDriver: () => driver };
  const config = { dialect };
  const sql = new Kysely<Schema>(config);
  const bind = (run: Run): BoundSql => {
    const bound = new Connection(run);
    const provider: ConnectionProvider = { provideConnection: (consumer) => consumer(bound) };
    const executor = sql.getExecutor().withConnectionProvider(provider);
    return { sql: new Kysely<Schema>({ config, driver, dialect, executor }), connection: bound };
  };
  return { sql, bind };
}

export interface BoundSql {
  readonly sql: Sql;
  readonly connection: Connection;
}

export class Connection implements DatabaseConnection {
  /** What the first statement that failed threw: after it nothing may be committed, whoever caught it. */
  failed: { readonly error: unknown } | undefined;
  #run: Run | undefined;

  constructor(run: Run) {
    this.#run = run;
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    if (!this.#run) throw new TypeError("the transaction of this statement is over: was it awaited?");
    try {
      return (await this.#run(query)) as QueryResult<Row>;
    } catch (error) {
      this.failed ??= { error };
      throw error;
    }
  }

  // eslint-disable-next-line require-yield
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new TypeError(
      "results are read in pages, by key, not streamed: a cursor would hold a transaction open",
    );
  }

  end(): void {
    this.#run = undefined;
  }
}

async function refuse(): Promise<never> {
  throw new TypeError("transactions are made with Database.transaction");
}
