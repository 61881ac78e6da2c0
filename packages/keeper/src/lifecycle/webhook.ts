// Moving an Item's webhook. Saying it twice does no harm, so what was left open is simply said again; the intent is
// there for the row to tell the truth after a crash.

import { happened, Item, ok } from "sett";
import { leave, unfinished, type Doing } from "./flights.ts";
import { addEvent, changeItem, lockItem, openDetail, settle, viewOf } from "./ledger.ts";
import { transact, type Means } from "./means.ts";
import { notDone } from "./rotate.ts";

/** Tells Plaid. */
export const move =
  (means: Means): Doing =>
  async (flight, token) => {
    const { item, intent, lease } = flight;
    const { item_id } = item;
    const detail = await openDetail<{ readonly webhook: string | null }>(means, intent);
    if (!detail.ok) return leave(means, lease, detail);

    const answer = await Item.updateWebhook(token, detail.value?.webhook ?? null, means.plaid);
    await means.at("webhook: answered");
    if (!answer.ok) {
      const { error } = answer;
      const isRefused = error.kind === "refused" && happened(error) === "no";
      return isRefused ? notDone(means, flight, error) : unfinished(means, flight, error);
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
