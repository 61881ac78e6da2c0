// A user's name leaves the database once no Item of theirs is left. Their removed Items stay, as nobody's.

import { err, ok, type Result } from "sett";
import type { KeeperFailure } from "./failure.ts";
import { addEvent } from "./ledger.ts";
import { transact, type Writing } from "./means.ts";
import { textOf } from "./texts.ts";

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
    const detail = { items: items.length };
    await addEvent(means, sql, { kind: "user.forgotten", item_id: null, detail });
    return ok(detail);
  });
}
