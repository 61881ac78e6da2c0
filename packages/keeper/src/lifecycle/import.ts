// An Item that the application has held until now: its token is tried, and kept. Nothing can be lost on the way, as the
// application still has it; so there is no intent, and it may be done any number of times. Under which token it came is
// kept with it, as a fingerprint, in the same transaction.

import { err, Item, ok, type Result } from "sett";
import { bringIn, type Brought } from "./arrival.ts";
import { refusedWith, saysDeadToken, type KeeperFailure } from "./failure.ts";
import { tokenFingerprint } from "./fingerprints.ts";
import { readItem, type ItemView } from "./ledger.ts";
import { openText, sealText, transact, type Means } from "./means.ts";
import { isText, longestName, longestToken, shownOf, textOf, textOrNull } from "./texts.ts";

/** Imports: see `Keeper.importItem`. */
export async function importItem(
  means: Means,
  access_token: string,
  userId: string | undefined,
): Promise<Result<ItemView, KeeperFailure>> {
  textOf("the access token", access_token, longestToken);
  const user_id = textOrNull("userId", userId);
  const fingerprint = await tokenFingerprint(means.vault, access_token);
  if (!fingerprint.ok) return fingerprint;
  const taken = await takeOver(means, {
    access_token,
    user_id,
    item_id: null,
    fingerprint: fingerprint.value,
  });
  if (!taken.ok) return taken;
  if (taken.value.how === "other") throw new TypeError("no Item was named, and yet it is another");
  return ok(taken.value.item);
}

/** An Item to be taken over. */
export interface Arrival {
  readonly access_token: string;
  readonly user_id: string | null;
  /** Which Item it must be; null for any. */
  readonly item_id: string | null;
  /** Of the token. */
  readonly fingerprint: Buffer;
}

/** An Item that was taken over; or `other`, and nothing is kept: the token is of `item_id`, not of the Item that was named. */
export type Taken = Brought | { readonly how: "other"; readonly item_id: string };

/** Asks Plaid whose token it is, and keeps it. */
export async function takeOver(
  means: Means,
  { access_token, user_id, item_id: named, fingerprint }: Arrival,
): Promise<Result<Taken, KeeperFailure>> {
  const answer = await Item.get(access_token, means.plaid);
  if (!answer.ok) return err({ kind: "plaid", item_id: named, failure: answer.error });
  const { item, request_id } = answer.value;
  const { item_id, error } = item;
  if (named !== null && named !== item_id) return ok({ how: "other", item_id });
  const sealed = await sealText(means, access_token, { purpose: "token", subject: item_id });
  if (!sealed.ok) return sealed;
  const error_code = error?.error_code ?? null;
  const created = Date.parse(item.created_at ?? "");
  const given = {
    kind: "import",
    intent_id: means.mint(),
    item_id,
    request_id,
    fence: 0,
    access_token,
    about: {
      user_id,
      institution_id: isText(item.institution_id) ? item.institution_id : null,
      institution_name: shownOf(item.institution_name ?? "", longestName),
      fingerprints: [],
    },
    seen: {
      state:
        error_code === null ? "healthy" : error_code === "ITEM_LOGIN_REQUIRED" ? "login_required" : "error",
      error_code,
      webhook: item.webhook ?? null,
      created_at: Number.isNaN(created) ? null : created,
    },
  } as const;
  const bring = (from_version: number) =>
    transact(means, async (sql) => {
      const brought = await bringIn(means, sql, { ...given, from_version }, sealed.value);
      if (brought.ok && brought.value.item.state !== "removed")
        await sql
          .insertInto("fingerprints")
          .values({ fingerprint, item_id })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      return brought;
    });
  const brought = await bring(0);
  if (!brought.ok || brought.value.how !== "known") return brought;
  const dead = await deadVersion(means, item_id, access_token);
  if (!dead.ok) return dead;
  return dead.value === null ? brought : bring(dead.value);
}

/**
 * The version of the token that the Item has here, if that is another than this one, which works, and Plaid says that it
 * is dead: then somebody has rotated it elsewhere. Null where it is alive, or nobody can say.
 */
async function deadVersion(
  means: Means,
  itemId: string,
  access_token: string,
): Promise<Result<number | null, KeeperFailure>> {
  const row = await readItem(means, itemId);
  if (!row.ok) return row;
  const { token, key_id, token_version } = row.value;
  if (token === null) return ok(null);
  const ours = await openText(means, token, { purpose: "token", subject: itemId }, key_id);
  if (!ours.ok) return ours;
  if (ours.value === access_token) return ok(null);
  const answer = await Item.get(ours.value, means.plaid);
  return ok(!answer.ok && saysDeadToken(refusedWith(answer.error)) ? token_version : null);
}
