// A new token for the old one. The call can be made once only: Plaid kills the old token as it gives the new, so where
// the answer is lost the old token is asked whether it still lives, and an Item whose token is gone is shown as stranded.

import { err, Item, happened, ok, type Failure, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import { leave, renew, unfinished, type Doing, type Flight } from "./flights.ts";
import { refusedWith, requestIdOf, saysDeadToken, strandedFor, type KeeperFailure } from "./failure.ts";
import {
  addEvent,
  changeItem,
  lockItem,
  readIntent,
  readView,
  settle,
  type ItemRow,
  type ItemView,
} from "./ledger.ts";
import { transact, type Means } from "./means.ts";
import { nothingKnown } from "./arrival.ts";
import type { Salvage } from "./salvage.ts";
import { probeLater, strandingOf } from "./stranded.ts";

/** A rotation that surely did not happen is asked for this many times. */
const tries = 2;

/** Why an Item cannot be worked on at all. */
export async function refuseUnlessLive(
  means: Means,
  sql: Sql,
  { item_id, state }: ItemRow,
): Promise<KeeperFailure | undefined> {
  if (state === "stranded") return strandingOf(means, sql, item_id);
  return state === "removing" || state === "removed" ? { kind: state, item_id } : undefined;
}

/** Why there is nothing to be rotated; of the token with the version `from` only, where that is given. */
export async function refuseUnlessFrom(
  means: Means,
  sql: Sql,
  item: ItemRow,
  from: number | undefined,
): Promise<KeeperFailure | undefined> {
  const refused = await refuseUnlessLive(means, sql, item);
  if (refused || from === undefined || from === item.token_version) return refused;
  return { kind: "rotated", item_id: item.item_id };
}

/** Carries a rotation out, or finds out what became of it. */
export const rotation =
  (means: Means, salvage: Salvage): Doing =>
  async (flight, token) => {
    const { item, intent, lease, resumed } = flight;
    const { plaid, at } = means;

    let doubt: Failure | null = null;
    /** Whether an answer may have been lost. */
    let lost = resumed;
    /** Gives the end of it, or nothing where the doubt must be cleared first. */
    const ask = async (): Promise<Result<ItemView, KeeperFailure> | undefined> => {
      const first = !resumed && doubt === null;
      const answer = await Item.invalidateAccessToken(token, plaid);
      await at("rotate: answered");
      if (answer.ok) {
        return salvage.keep({
          kind: "rotate",
          intent_id: intent.intent_id,
          item_id: item.item_id,
          request_id: answer.value.request_id,
          from_version: item.token_version,
          fence: lease.fence,
          access_token: answer.value.new_access_token,
          about: nothingKnown,
        });
      }
      doubt = answer.error;
      lost ||= happened(doubt) === "unknown";
      const code = refusedWith(doubt);
      // An attempt of before may have come to Plaid late, and this one after it.
      const late = first ? code === "INVALID_ACCESS_TOKEN" : saysDeadToken(code);
      return happened(doubt) === "no" && !late ? notDone(means, flight, doubt) : undefined;
    };

    const over = resumed ? undefined : await ask();
    if (over) return over;
    for (let again = resumed ? tries : tries - 1; ; again--) {
      if (!(await renew(means, lease))) return unfinished(means, flight, doubt);
      const probed = await probe(means, token);
      if (probed.is === "unknown") return unfinished(means, flight, probed.failure);
      if (probed.is === "dead") return stranded(means, salvage, flight, probed.failure, lost);
      if (doubt && (again === 0 || happened(doubt) === "no")) return notDone(means, flight, doubt);
      if (!(await renew(means, lease))) return unfinished(means, flight, doubt);
      const ended = await ask();
      if (ended) return ended;
    }
  };

type Probed =
  | { readonly is: "alive" }
  | { readonly is: "dead"; readonly failure: Failure }
  | { readonly is: "unknown"; readonly failure: Failure };

/** Asks Plaid whether a token still works. */
async function probe({ plaid }: Means, token: string): Promise<Probed> {
  const answer = await Item.get(token, plaid);
  if (answer.ok) return { is: "alive" };
  return { is: saysDeadToken(refusedWith(answer.error)) ? "dead" : "unknown", failure: answer.error };
}

/** Closes an intent of which nothing came, and gives Plaid's failure. */
export async function notDone(
  means: Means,
  { intent, lease, item: { item_id } }: Flight,
  failure: Failure,
): Promise<Result<never, KeeperFailure>> {
  const closed = await transact(means, (sql) =>
    settle(means, sql, intent, lease, {
      outcome: "not-done",
      request_id: requestIdOf(failure),
      note: failure,
    }),
  );
  return closed.ok ? err({ kind: "plaid", item_id, failure }) : closed;
}

/** The old token is dead, and unless the new one is in the escrow, nobody has it. */
export async function stranded(
  means: Means,
  salvage: Salvage,
  { item, intent, lease }: Flight,
  failure: Failure,
  lost: boolean,
): Promise<Result<ItemView, KeeperFailure>> {
  const { item_id } = item;
  const looked = await salvage.lookFor(intent.intent_id);
  const known = looked.ok ? await readIntent(means, intent.intent_id) : looked;
  if (!known.ok) return leave(means, lease, known);
  if (known.value?.settled_at !== null) return leave(means, lease, await readView(means, item_id));
  const request_id = requestIdOf(failure);
  const said = strandedFor(item_id, { request_id, at: intent.opened_at, lost });
  const closed = await transact(means, async (sql) => {
    const ended = await settle(means, sql, intent, lease, { outcome: "stranded", request_id, note: failure });
    if (!ended.ok) return ended;
    const row = await lockItem(means, sql, item_id);
    if (!row || row.token_version !== item.token_version) {
      return err<KeeperFailure>({ kind: "unfinished", item_id, intent_id: intent.intent_id, cause: null });
    }
    await changeItem(sql, item_id, { state: "stranded" });
    await probeLater(means, sql, item_id);
    const { support } = said;
    const detail = { from: row.state, to: "stranded", intent_id: intent.intent_id, support } as const;
    await addEvent(means, sql, { kind: "item.stranded", item_id, detail, request_id });
    return ok(undefined);
  });
  return closed.ok ? err(said) : closed;
}
