// An Item's end. It is `removing` from the moment that somebody asked, and keeps its token until Plaid says that the
// Item is gone; then token and fingerprints go in the same transaction, and a row without them stays.

import { err, Item, ok, type Failure, type Item as Items, type Result } from "sett";
import type { Sealed } from "../vault/vault.ts";
import { leave, letGo, renew, type Act, type Begin, type Flight } from "./flights.ts";
import { refusedWith, requestIdOf, type KeeperFailure } from "./failure.ts";
import {
  addEvent,
  changeItem,
  lockItem,
  openIntent,
  settle,
  viewOf,
  type IntentRow,
  type ItemView,
} from "./ledger.ts";
import { openText, transact, type Means } from "./means.ts";
import { stranded, tokenOf } from "./rotate.ts";
import { strandingOf } from "./stranded.ts";
import type { Salvage } from "./salvage.ts";

/** Writes a removal down: from here on the Item is `removing`. */
export const beginRemoval =
  (means: Means, intentId: string, detail: Sealed): Begin =>
  async (sql, item, lease) => {
    const { item_id, state } = item;
    if (state === "stranded") return err(await strandingOf(means, sql, item_id));
    if (state === "removed") return err({ kind: "removed", item_id });
    await changeItem(sql, item_id, { state: "removing" });
    await addEvent(means, sql, { kind: "item.removing", item_id, detail: { from: state, to: "removing" } });
    return ok(await openIntent(means, sql, { intent_id: intentId, kind: "remove", item_id, detail }, lease));
  };

/** Asks Plaid to remove the Item until it is gone. Whatever else Plaid says, the intent stays open. */
export const removal =
  (means: Means, salvage: Salvage): Act =>
  async (flight, resumed) => {
    const { item, intent, lease } = flight;
    const { plaid, at } = means;
    const { item_id } = item;
    if (!resumed) await at("remove: intended");
    const token = await tokenOf(means, item);
    const reason = await reasonOf(means, intent);
    if (!token.ok) return leave(means, lease, token);
    if (!reason.ok) return leave(means, lease, reason);

    const answer = await Item.remove(token.value, plaid, reason.value);
    await at("remove: answered");
    if (answer.ok) return gone(means, flight, answer.value.request_id);
    let cause: Failure = answer.error;
    const code = refusedWith(cause);
    if (code === "ITEM_NOT_FOUND" || code === "INVALID_ACCESS_TOKEN") {
      // Before the only token is thrown away, or given up, Plaid is asked a second time, in another way.
      const seen = (await renew(means, lease)) ? await Item.get(token.value, plaid) : undefined;
      if (seen && !seen.ok) {
        const again = refusedWith(seen.error);
        if (again === "ITEM_NOT_FOUND") return gone(means, flight, requestIdOf(seen.error));
        if (again === "INVALID_ACCESS_TOKEN") return stranded(means, salvage, flight, seen.error, false);
        cause = seen.error;
      }
    }
    await letGo(means, lease);
    return err({ kind: "unfinished", item_id, intent_id: intent.intent_id, cause });
  };

async function reasonOf(
  means: Means,
  { intent_id, detail, key_id }: IntentRow,
): Promise<Result<Items.RemoveReason | undefined, KeeperFailure>> {
  if (detail === null) return ok(undefined);
  const text = await openText(means, detail, { purpose: "intent", subject: intent_id }, key_id);
  return text.ok ? ok((JSON.parse(text.value) as { reason?: Items.RemoveReason }).reason) : text;
}

async function gone(
  means: Means,
  { item: { item_id }, intent, lease }: Flight,
  request_id: string | null,
): Promise<Result<ItemView, KeeperFailure>> {
  const done = await transact(means, async (sql) => {
    const ended = await settle(means, sql, intent, lease, { outcome: "done", request_id });
    if (!ended.ok) return ended;
    await lockItem(means, sql, item_id);
    await sql.deleteFrom("fingerprints").where("item_id", "=", item_id).execute();
    const row = await changeItem(sql, item_id, {
      state: "removed",
      removed_at: means.now(),
      token: null,
      key_id: null,
    });
    const detail = { from: "removing", to: "removed" } as const;
    await addEvent(means, sql, { kind: "item.removed", item_id, detail, request_id });
    return ok(viewOf(row));
  });
  if (done.ok) await means.at("remove: committed");
  return done;
}
