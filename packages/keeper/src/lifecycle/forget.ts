// A user's name leaves the database once no Item of theirs is left. Their removed Items stay, as nobody's.

import { err, ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { Environment } from "../database/schema.ts";
import type { KeeperFailure } from "./failure.ts";
import { addEvent } from "./ledger.ts";
import { transact, type Writing } from "./means.ts";
import type { Selection } from "./selection.ts";
import { textOf } from "./texts.ts";

/** Stands in the selection of a sweep for a user who was forgotten; nobody's id is so short. */
const somebody = "";

/** Sweeps over the Items of the user alone say no more whose they were. */
async function forgetSelections(sql: Sql, environment: Environment, userId: string): Promise<void> {
  const sweeps = await sql
    .selectFrom("sweeps")
    .select(["sweep_id", "selection"])
    .where("environment", "=", environment)
    .where("selection", "like", '%"userId":%')
    .execute();
  for (const { sweep_id, selection } of sweeps) {
    const meant = JSON.parse(selection) as Selection;
    if (meant.userId !== userId) continue;
    await sql
      .updateTable("sweeps")
      .set({ selection: JSON.stringify({ ...meant, userId: somebody }) })
      .where("sweep_id", "=", sweep_id)
      .execute();
  }
}

/** Forgets: see `Keeper.forgetUser`. */
export function forgetUser(
  means: Writing,
  userId: string,
): Promise<Result<{ readonly items: number }, KeeperFailure>> {
  textOf("the user_id", userId);
  const { database, environment } = means;
  return transact(means, async (sql) => {
    const items = await database.differences
      .lockRows(
        sql
          .selectFrom("items")
          .select(["item_id", "state"])
          .where("user_id", "=", userId)
          .where("environment", "=", environment)
          .orderBy("item_id"),
      )
      .execute();
    const linking = await sql
      .selectFrom("intents")
      .select("item_id")
      .where("settled_at", "is", null)
      .where("user_id", "=", userId)
      .where("environment", "=", environment)
      .execute();
    const live = [...items.filter(({ state }) => state !== "removed"), ...linking];
    if (live.length > 0) return err({ kind: "live-items", items: live.map(({ item_id }) => item_id) });
    for (const table of ["items", "intents"] as const) {
      await sql
        .updateTable(table)
        .set({ user_id: null })
        .where("user_id", "=", userId)
        .where("environment", "=", environment)
        .execute();
    }
    await forgetSelections(sql, environment, userId);
    const detail = { items: items.length };
    await addEvent(means, sql, { kind: "user.forgotten", item_id: null, detail });
    return ok(detail);
  });
}
