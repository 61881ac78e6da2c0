// Whether it is known which webhook an Item has. That its row has none says so only where Plaid was asked about it, at its
// import too, or where it was set so.

import { sql as raw } from "kysely";
import type { Entry } from "./settle.ts";

/** Frozen as the webhook of an Item of which it is not known. */
export const notKnown = "";

/** What is frozen of a row of `items`. */
export const webhookToFreeze = raw<string | null>`case when items.webhook is null
  and items.checked_at is null and items.created_at is null
  and not exists (select 1 from events where events.item_id = items.item_id and events.kind = 'item.webhook_moved')
  then ${raw.lit(notKnown)} else items.webhook end`;

/** Whether it was known when the sweep was submitted, or has come out since. */
export const isKnown = ({ webhook, now }: Entry): boolean =>
  webhook !== notKnown || now?.webhook !== null || now.checked_at !== null;

/** Whether it is another than it was. Learning what it was all along is no move. */
export const hasMoved = ({ webhook, now }: Entry): boolean =>
  webhook === notKnown ? now?.webhook !== null && now?.checked_at === null : now?.webhook !== webhook;
