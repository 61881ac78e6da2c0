// The acts on one Item that the keeper offers, each written down first and then carried out: for the door, and for
// sweeps, whose calls go another way to Plaid.

import { err, ok, type Item as Items, type Result } from "sett";
import { itemRemove } from "sett/endpoints";
import type { Sql } from "../database/connection.ts";
import { leave, type Act, type Doing, type Flights, type Terms } from "./flights.ts";
import type { KeeperFailure } from "./failure.ts";
import { refuseUnfit } from "./known.ts";
import { openIntent, readView, sealDetail, type ItemRow, type ItemView } from "./ledger.ts";
import { openText, type Means } from "./means.ts";
import { beginRemoval, removal } from "./remove.ts";
import { refuseUnlessFrom, refuseUnlessLive, rotation } from "./rotate.ts";
import type { Salvage } from "./salvage.ts";
import { isWebUrl } from "./texts.ts";
import { move } from "./webhook.ts";

export interface Acts {
  /** Fails as `rotated` where the token is not the one of version `from`. */
  rotate(itemId: string, from?: number, terms?: Terms): Promise<Result<ItemView, KeeperFailure>>;
  updateWebhook(
    itemId: string,
    webhook: string | null,
    terms?: Terms,
  ): Promise<Result<ItemView, KeeperFailure>>;
  /** Fails as `removed` where it is done already. */
  remove(
    itemId: string,
    reason?: Items.RemoveReason,
    terms?: Terms,
  ): Promise<Result<ItemView, KeeperFailure>>;
}

/** Of the intents that are an Item's, those that may be open. */
type Kind = "rotate" | "webhook" | "remove";

/** Does, or finishes, whatever kind of intent is open. */
export function createFinish(means: Means, salvage: Salvage): Act {
  const doings: Readonly<Record<Kind, Doing>> = {
    rotate: rotation(means, salvage),
    webhook: move(means),
    remove: removal(means, salvage),
  };
  return async (flight) => {
    const { item_id, token, key_id } = flight.item;
    const kind = flight.intent.kind as Kind;
    if (!flight.resumed) await means.at(`${kind}: intended`);
    const opened = token
      ? await openText(means, token, { purpose: "token", subject: item_id }, key_id)
      : err<KeeperFailure>({ kind: "removed", item_id });
    return opened.ok ? doings[kind](flight, opened.value) : leave(means, flight.lease, opened);
  };
}

/** The acts over these flights, with the transport of these means. */
export function createActs(means: Means, salvage: Salvage, flights: Flights): Acts {
  const finish = createFinish(means, salvage);
  /** `detail` is what it takes to do it. `begin` says why not, or writes what goes with the intent. */
  const fly = async (
    kind: Kind,
    item_id: string,
    detail: object | null,
    begin: (means: Means, sql: Sql, item: ItemRow) => Promise<KeeperFailure | undefined>,
    terms: Terms | undefined,
  ) => {
    await means.at(`${kind}: begin`);
    const intent_id = means.mint();
    const sealed = detail ? await sealDetail(means, intent_id, detail) : ok(null);
    if (!sealed.ok) return sealed;
    const intent = { intent_id, kind, item_id, detail: sealed.value };
    return flights.fly(
      item_id,
      async (sql, item, lease) => {
        const refused = await begin(means, sql, item);
        return refused ? err(refused) : ok(await openIntent(means, sql, intent, lease));
      },
      finish,
      terms,
    );
  };
  return {
    async rotate(itemId, from, terms) {
      if (from !== undefined && !Number.isInteger(from))
        throw new TypeError("from must be a token_version: a whole number");
      return fly("rotate", itemId, null, (_, sql, item) => refuseUnlessFrom(means, sql, item, from), terms);
    },
    async updateWebhook(itemId, webhook, terms) {
      refuseUnlessUrl(webhook);
      return fly("webhook", itemId, { webhook }, refuseUnlessLive, terms);
    },
    async remove(itemId, reason, terms) {
      refuseUnlessReason(reason);
      return fly("remove", itemId, { reason }, beginRemoval, terms);
    },
  };
}

/** The Item as it is, where what was asked for turned out to be done already. */
export async function unlessAlready(
  means: Means,
  kind: "rotated" | "removed",
  itemId: string,
  done: Result<ItemView, KeeperFailure>,
): Promise<Result<ItemView, KeeperFailure>> {
  return !done.ok && done.error.kind === kind ? readView(means, itemId) : done;
}

// What is written down is done again until it is done; so a mistake must be found before, as sett would find it then.
export function refuseUnlessReason(reason: Items.RemoveReason | undefined): void {
  const { access_token: _, ...fields } = itemRemove.request;
  if (reason !== undefined) refuseUnfit("the reason", reason, fields);
}

export function refuseUnlessUrl(webhook: string | null): void {
  if (webhook !== null && !isWebUrl(webhook))
    throw new TypeError("the webhook must be an http(s) URL, or null to take it away");
}
