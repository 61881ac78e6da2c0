// Moving an Item's webhook. Saying it twice does no harm, so what was left open is simply said again; the intent is
// there for the row to tell the truth after a crash.

import { err, happened, Item, ok, type Result } from "sett";
import type { Sealed } from "../vault/vault.ts";
import { leave, letGo, type Act, type Begin } from "./flights.ts";
import type { KeeperFailure } from "./failure.ts";
import { addEvent, changeItem, lockItem, openIntent, settle, viewOf, type IntentRow } from "./ledger.ts";
import { openText, transact, type Means } from "./means.ts";
import { notDone, refuseUnlessLive, tokenOf } from "./rotate.ts";

/** Writes the new URL down. */
export const beginMove =
  (means: Means, intentId: string, detail: Sealed): Begin =>
  async (sql, item, lease) => {
    const refused = await refuseUnlessLive(means, sql, item);
    if (refused) return err(refused);
    const { item_id } = item;
    return ok(await openIntent(means, sql, { intent_id: intentId, kind: "webhook", item_id, detail }, lease));
  };

/** Tells Plaid. */
export const move =
  (means: Means): Act =>
  async (flight, resumed) => {
    const { item, intent, lease } = flight;
    const { item_id } = item;
    if (!resumed) await means.at("webhook: intended");
    const token = await tokenOf(means, item);
    const url = await urlOf(means, intent);
    if (!token.ok) return leave(means, lease, token);
    if (!url.ok) return leave(means, lease, url);

    const answer = await Item.updateWebhook(token.value, url.value, means.plaid);
    await means.at("webhook: answered");
    if (!answer.ok) {
      if (happened(answer.error) === "no" && answer.error.kind === "refused")
        return notDone(means, flight, answer.error);
      await letGo(means, lease);
      return err({ kind: "unfinished", item_id, intent_id: intent.intent_id, cause: answer.error });
    }
    const { request_id } = answer.value;
    const webhook = answer.value.item.webhook;
    const done = await transact(means, async (sql) => {
      const ended = await settle(means, sql, intent, lease, { outcome: "done", request_id });
      if (!ended.ok) return ended;
      await lockItem(means, sql, item_id);
      const row = await changeItem(sql, item_id, { webhook });
      await addEvent(means, sql, { kind: "item.webhook_moved", item_id, detail: {}, request_id });
      return ok(viewOf(row));
    });
    if (done.ok) await means.at("webhook: committed");
    return done;
  };

async function urlOf(
  means: Means,
  { intent_id, detail, key_id }: IntentRow,
): Promise<Result<string | null, KeeperFailure>> {
  if (detail === null) return ok(null);
  const text = await openText(means, detail, { purpose: "intent", subject: intent_id }, key_id);
  return text.ok ? ok((JSON.parse(text.value) as { webhook: string | null }).webhook) : text;
}
