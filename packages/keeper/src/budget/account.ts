// Where allowances are kept: a row for each endpoint, changed in one short transaction at a time, whoever changes it. The
// hosts' clocks need not agree: the row carries the time of the clock that is furthest ahead, and everybody else goes
// by that one from then on. Only its speed matters.

import { createHash } from "node:crypto";
import { ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import type { Allowance } from "./allowance.ts";

/** What a row holds. */
export interface Kept {
  readonly allowance: Allowance;
  /** What was set by hand; null for what holds without. */
  readonly set: { perMinute: number | "off" | null; share: number | null };
}

export interface Account {
  /** Milliseconds of the clock that the processes share. */
  readonly shared: () => number;
  /** How far the shared clock is ahead of this process's own. */
  readonly ahead: () => number;
  /** Changes what is kept of a path, which is `first` if nothing is yet; commits, and gives what the work gives. */
  change<Value>(
    path: string,
    first: () => Kept,
    work: (kept: Kept, now: number) => Value,
  ): Promise<Result<Value, DatabaseFailure>>;
  /** What is kept of a path, unless nothing is. */
  look(path: string): Promise<Result<Kept | undefined, DatabaseFailure>>;
}

export interface AccountOptions {
  readonly database: Database;
  /** Null where it is not known: of each path it is the client then that was counted last, and there must be one to change. */
  readonly clientId: string | null;
  readonly environment: Environment;
  /** Never goes back. */
  readonly now: () => number;
  /** What the process's own times are told by. */
  readonly clock: () => number;
}

export function createAccount({ database, clientId, environment, now, clock }: AccountOptions): Account {
  let aheadMs = 0;
  const shared = () => now() + aheadMs;
  const nameOf = (path: string) =>
    createHash("sha256")
      .update(JSON.stringify([clientId, environment, path]))
      .digest("base64url");

  const select = (sql: Sql, path: string) => {
    const rows = sql.selectFrom("budgets").select(["name", "allowance", "updated_at"]);
    if (clientId !== null) return rows.where("name", "=", nameOf(path));
    const ofPath = rows.where("environment", "=", environment).where("path", "=", path);
    return ofPath.orderBy("updated_at", "desc").limit(1);
  };
  const read = ({ allowance, updated_at }: { allowance: string; updated_at: number }): Kept => {
    aheadMs = Math.max(aheadMs, updated_at - now());
    return JSON.parse(allowance) as Kept;
  };

  return {
    shared,
    ahead: () => shared() - clock(),
    change: (path, first, work) =>
      database.transaction(async (sql) => {
        let row = await database.differences.lockRows(select(sql, path)).executeTakeFirst();
        if (!row) {
          if (clientId === null) throw new TypeError("clientId must be known where none has been counted");
          const values = { name: nameOf(path), environment, path, updated_at: Math.ceil(shared()) };
          await sql
            .insertInto("budgets")
            .values({ ...values, allowance: JSON.stringify(first()) })
            .onConflict((conflict) => conflict.column("name").doNothing())
            .execute();
          row = await database.differences.lockRows(select(sql, path)).executeTakeFirstOrThrow();
        }
        const kept = read(row);
        const at = shared();
        const value = work(kept, at);
        await sql
          .updateTable("budgets")
          .set({ allowance: JSON.stringify(kept), updated_at: Math.ceil(at) })
          .where("name", "=", row.name)
          .execute();
        return ok(value);
      }),
    look: (path) =>
      database.read(async (sql) => {
        const row = await select(sql, path).executeTakeFirst();
        return row && read(row);
      }),
  };
}
