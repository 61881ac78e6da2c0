// An Item's end. It is `removing` from the moment that somebody asked, and keeps its token until Plaid says that the
// Item is gone; then token and fingerprints go in the same transaction, and a row without them stays.

import { Item, ok, type Failure, type Item as Items, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import { leave, renew, unfinished, type Doing, type Flight } from "./flights.ts";
import { refusedWith, requestIdOf, type KeeperFailure } from "./failure.ts";
import {
  addEvent,
  bury,
  changeItem,
  lockItem,
  openDetail,
  settle,
  viewOf,
  type ItemRow,
  type ItemView,
} from "./ledger.ts";
import { transact, type Means } from "./means.ts";
import { stranded } from "./rotate.ts";
import { strandingOf } from "./stranded.ts";
import type { Salvage } from "./salvage.ts";

/** From here on the Item is `removing`, unless there is a reason against it. */
export async function beginRemoval(
  means: Means,
  sql: Sql,
  { item_id, state }: ItemRow,
): Promise<KeeperFailure | undefined> {
  if (state === "stranded") return strandingOf(means, sql, item_id);
  if (state === "removed") return { kind: "removed", item_id };
  await changeItem(sql, item_id, { state: "removing" });
  await addEvent(means, sql, { kind: "item.removing", item_id, detail: { from: state, to: "removing" } });
  return undefined;
}

/** Asks Plaid to remove the Item until it is gone. Whatever else Plaid says, the intent stays open. */
export const removal =
  (means: Means, salvage: Salvage): Doing =>
  async (flight, token) => {
    const { intent, lease } = flight;
    const { plaid, at } = means;
    const detail = await openDetail<{ readonly reason?: Items.RemoveReason }>(means, intent);
    if (!detail.ok) return leave(means, lease, detail);

    const answer = await Item.remove(token, plaid, detail.value?.reason);
    await at("remove: answered");
    if (answer.ok) return gone(means, flight, answer.value.request_id);
    let cause: Failure = answer.error;
    const code = refusedWith(cause);
    if (code === "ITEM_NOT_FOUND" || code === "INVALID_ACCESS_TOKEN") {
      // Before the only token is thrown away, or given up, Plaid is asked a second time, in another way.
      const seen = (await renew(means, lease)) ? await Item.get(token, plaid) : undefined;
      if (seen && !seen.ok) {
        const again = refusedWith(seen.error);
        if (again === "ITEM_NOT_FOUND") return gone(means, flight, requestIdOf(seen.error));
        if (again === "INVALID_ACCESS_TOKEN") return stranded(means, salvage, flight, seen.error, false);
        cause = seen.error;
      }
    }
    return unfinished(means, flight, cause);
  };

async function gone(
  means: Means,
  { item: { item_id }, intent, lease }: Flight,
  request_id: string | null,
): Promise<Result<ItemView, KeeperFailure>> {
  const done = await transact(means, async (sql) => {
    const ended = await settle(means, sql, intent, lease, { outcome: "done", request_id });
    if (!ended.ok) return ended;
    await lockItem(means, sql, item_id);
    const row = await bury(means, sql, item_id);
    const detail = { from: "removing", to: "removed" } as const;
    await addEvent(means, sql, { kind: "item.removed", item_id, detail, request_id });
    return ok(viewOf(row));
  });
  if (done.ok) await means.at("remove: committed");
  return done;
}
