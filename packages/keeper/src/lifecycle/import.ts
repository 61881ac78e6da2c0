// An Item that the application has held until now: its token is tried, and kept. Nothing can be lost on the way, as the
// application still has it; so there is no intent, and it may be done any number of times.

import { err, Item, type Result } from "sett";
import { arrive } from "./arrival.ts";
import type { KeeperFailure } from "./failure.ts";
import type { ItemView } from "./ledger.ts";
import { sealText, transact, type Means } from "./means.ts";

/** Imports: see `Keeper.importItem`. */
export async function importItem(
  means: Means,
  access_token: string,
  userId: string | undefined,
): Promise<Result<ItemView, KeeperFailure>> {
  const answer = await Item.get(access_token, means.plaid);
  if (!answer.ok) return err({ kind: "plaid", item_id: null, failure: answer.error });
  const { item, request_id } = answer.value;
  const { item_id, error } = item;
  const sealed = await sealText(means, access_token, { purpose: "token", subject: item_id });
  if (!sealed.ok) return sealed;
  const error_code = error?.error_code ?? null;
  const created = Date.parse(item.created_at ?? "");
  const given = {
    kind: "import",
    intent_id: means.mint(),
    item_id,
    request_id,
    from_version: 0,
    fence: 0,
    access_token,
    about: {
      user_id: userId ?? null,
      institution_id: item.institution_id ?? null,
      institution_name: item.institution_name ?? null,
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
  return transact(means, (sql) => arrive(means, sql, given, sealed.value));
}
