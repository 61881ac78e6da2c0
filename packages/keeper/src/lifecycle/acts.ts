// The acts on one Item that the keeper offers, each written down first and then carried out: for the door, and for
// sweeps, whose calls go another way to Plaid.

import { ok, type Item as Items, type Result } from "sett";
import { itemRemove } from "sett/endpoints";
import type { Act, Flights, Terms } from "./flights.ts";
import type { KeeperFailure } from "./failure.ts";
import { refuseUnfit } from "./known.ts";
import { readView, type ItemView } from "./ledger.ts";
import { sealText, type Means } from "./means.ts";
import { beginRemoval, removal } from "./remove.ts";
import { beginRotation, rotation } from "./rotate.ts";
import type { Salvage } from "./salvage.ts";
import { isWebUrl } from "./texts.ts";
import { beginMove, move } from "./webhook.ts";

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

/** Finishes whatever kind of intent was left open. */
export function createFinish(means: Means, salvage: Salvage): Act {
  const rotated = rotation(means, salvage);
  const removed = removal(means, salvage);
  const moved = move(means);
  return (flight, resumed) => {
    const { kind } = flight.intent;
    return (kind === "rotate" ? rotated : kind === "remove" ? removed : moved)(flight, resumed);
  };
}

/** The acts over these flights, with the transport of these means. */
export function createActs(means: Means, salvage: Salvage, flights: Flights): Acts {
  const finish = createFinish(means, salvage);
  const sealedFor = async (detail: object) => {
    const intent_id = means.mint();
    const sealed = await sealText(means, JSON.stringify(detail), { purpose: "intent", subject: intent_id });
    return sealed.ok ? ok({ intent_id, sealed: sealed.value }) : sealed;
  };
  return {
    async rotate(itemId, from, terms) {
      if (from !== undefined && !Number.isInteger(from))
        throw new TypeError("from must be a token_version: a whole number");
      await means.at("rotate: begin");
      return flights.fly(itemId, beginRotation(means, from), finish, terms);
    },
    async updateWebhook(itemId, webhook, terms) {
      refuseUnlessUrl(webhook);
      await means.at("webhook: begin");
      const made = await sealedFor({ webhook });
      if (!made.ok) return made;
      return flights.fly(itemId, beginMove(means, made.value.intent_id, made.value.sealed), finish, terms);
    },
    async remove(itemId, reason, terms) {
      refuseUnlessReason(reason);
      await means.at("remove: begin");
      const made = await sealedFor({ reason });
      if (!made.ok) return made;
      return flights.fly(itemId, beginRemoval(means, made.value.intent_id, made.value.sealed), finish, terms);
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
