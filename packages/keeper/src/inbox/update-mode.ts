// Update mode: the link token with which a user mends an Item, made without the caller's seeing the access token. For
// which Item it was made is remembered by the token's keyed hash, so that Link's webhooks about the session find it.

import {
  err,
  Link,
  ok,
  type Config,
  type Failure,
  type LinkTokenCreateRequest,
  type LinkTokenCreateResponse,
  type Result,
} from "sett";
import type { Database } from "../database/database.ts";
import type { Environment, ItemState } from "../database/schema.ts";
import type { Vault } from "../vault/vault.ts";
import { databaseDown, type InboxFailure } from "./deliveries.ts";
import { standingsOf } from "./standing.ts";

/** What Link shows and where it leads; who and what for is the Item's. `webhook` is for the session's alone; it moves no Item's. */
export type UpdateModeRequest = Omit<
  LinkTokenCreateRequest,
  | "access_token"
  | "access_tokens"
  | "products"
  | "required_if_supported_products"
  | "optional_products"
  | "update"
>;

/** Why there is no link token. */
export type UpdateModeFailure<Problem> =
  | Problem
  | { readonly kind: "unknown-item" }
  /** `removing`, `removed`, `stranded`: there is no token to mend it with. */
  | { readonly kind: "beyond-repair"; readonly state: ItemState }
  /** It is healthy; `evenIfHealthy` asks all the same. */
  | { readonly kind: "not-needed"; readonly state: ItemState }
  | InboxFailure;

export interface UpdateModeOptions<Problem> {
  readonly database: Database;
  readonly environment: Environment;
  readonly plaid: Config;
  /** Remembers for which Item the token was made: {@link rememberLinkToken}. */
  readonly remember?: ((made: UpdateToken) => Promise<Result<undefined, InboxFailure>>) | undefined;
  /** Lends the Item's access token for one call. */
  readonly use: (
    itemId: string,
    call: (access_token: string) => Promise<Result<LinkTokenCreateResponse, Failure>>,
  ) => Promise<Result<LinkTokenCreateResponse, Problem>>;
}

/** A link token for update mode, and what it is for. */
export interface UpdateToken {
  readonly link_token: string;
  readonly request_id: string;
  readonly itemId: string;
  readonly accountsSelected: boolean;
}

export interface UpdateModeChoices {
  /** Also for an Item that needs no mending. */
  readonly evenIfHealthy?: boolean | undefined;
  /** Lets the user choose accounts anew, also where no new ones were announced. */
  readonly selectAccounts?: boolean | undefined;
}

/**
 * Makes a link token (30 minutes) for update mode of an Item that needs it; where its institution shows new accounts,
 * the user may choose them. A `revoked` Item may be refused by Plaid or by Link: then only a new Item helps. When Link
 * has succeeded, tell the inbox: `observe(itemId, { kind: "updated", … })`, for no webhook of the Item's does; only
 * where the link token had a `webhook`, Link tells it itself.
 */
export async function createUpdateToken<Problem>(
  { database, environment, plaid, use, remember }: UpdateModeOptions<Problem>,
  itemId: string,
  request: UpdateModeRequest,
  { evenIfHealthy = false, selectAccounts = false }: UpdateModeChoices = {},
): Promise<Result<LinkTokenCreateResponse, UpdateModeFailure<Problem>>> {
  const found = await database.read((sql) => standingsOf(database, sql, environment, [itemId]));
  if (!found.ok) return databaseDown(found.error);
  const standing = found.value.get(itemId);
  if (!standing) return err({ kind: "unknown-item" });
  const { state, facts } = standing;
  if (state === "removing" || state === "removed" || state === "stranded") {
    return err({ kind: "beyond-repair", state });
  }
  const account_selection_enabled = facts.accounts.waiting || selectAccounts;
  if (state === "healthy" && !evenIfHealthy && !selectAccounts) return err({ kind: "not-needed", state });
  const made = await use(itemId, (access_token) =>
    Link.createToken(
      {
        ...request,
        access_token,
        ...(account_selection_enabled && { update: { account_selection_enabled } }),
      },
      plaid,
    ),
  );
  if (!made.ok) return made;
  const { link_token, request_id } = made.value;
  const remembered = await remember?.({
    link_token,
    request_id,
    itemId,
    accountsSelected: account_selection_enabled,
  });
  return remembered && !remembered.ok ? remembered : made;
}

/** Writes down for which Item a link token was made, so that {@link itemOfLinkToken} knows. */
export async function rememberLinkToken(
  database: Database,
  vault: Vault,
  { link_token, request_id, itemId, accountsSelected }: UpdateToken,
  now: number,
): Promise<Result<undefined, InboxFailure>> {
  const name = await nameOf(vault, link_token);
  if (!name.ok) return name;
  const remembered = await database.read((sql) =>
    sql
      .insertInto("intents")
      .values({
        intent_id: name.value,
        environment: vault.environment,
        kind: "update-mode",
        item_id: itemId,
        opened_at: now,
        settled_at: now,
        outcome: "done",
        request_id,
        note: JSON.stringify({ accountsSelected } satisfies Note),
      })
      .execute(),
  );
  return remembered.ok ? ok(undefined) : databaseDown(remembered.error);
}

/** For which Item a link token was made; undefined where it was for none, or not by us. */
export async function itemOfLinkToken(
  database: Database,
  vault: Vault,
  linkToken: string,
): Promise<Result<{ itemId: string; accountsSelected: boolean } | undefined, InboxFailure>> {
  const name = await nameOf(vault, linkToken);
  if (!name.ok) return name;
  const found = await database.read((sql) =>
    sql
      .selectFrom("intents")
      .select(["item_id", "note"])
      .where("intent_id", "=", name.value)
      .where("kind", "=", "update-mode")
      .executeTakeFirst(),
  );
  if (!found.ok) return databaseDown(found.error);
  if (!found.value?.item_id) return ok(undefined);
  const { accountsSelected } = JSON.parse(found.value.note!) as Note;
  return ok({ itemId: found.value.item_id, accountsSelected });
}

interface Note {
  readonly accountsSelected: boolean;
}

/** Says nothing of the token to those who read the database. */
async function nameOf(vault: Vault, linkToken: string): Promise<Result<string, InboxFailure>> {
  const made = await vault.fingerprint(["link token", linkToken]);
  return made.ok ? ok(made.value.toString("hex")) : err({ kind: "vault", vault: made.error });
}
