// Update mode: the link token with which a user mends an Item, made without the caller's seeing the access token.

import {
  err,
  Link,
  type Config,
  type Failure,
  type LinkTokenCreateRequest,
  type LinkTokenCreateResponse,
  type Result,
} from "sett";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment, ItemState } from "../database/schema.ts";
import { standingOf } from "./standing.ts";

/** What Link shows and where it leads; who and what for is the Item's. */
export type UpdateModeRequest = Omit<
  LinkTokenCreateRequest,
  | "access_token"
  | "access_tokens"
  | "products"
  | "required_if_supported_products"
  | "optional_products"
  | "webhook"
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
  | { readonly kind: "database"; readonly database: DatabaseFailure };

export interface UpdateModeOptions<Problem> {
  readonly database: Database;
  readonly environment: Environment;
  readonly plaid: Config;
  /** Lends the Item's access token for one call. */
  readonly use: (
    itemId: string,
    call: (access_token: string) => Promise<Result<LinkTokenCreateResponse, Failure>>,
  ) => Promise<Result<LinkTokenCreateResponse, Problem>>;
}

/**
 * Makes a link token (30 minutes) for update mode of an Item that needs it; where its institution shows new accounts,
 * the user may choose them. A `revoked` Item may be refused by Plaid or by Link: then only a new Item helps. When Link
 * has succeeded, tell the inbox: `observe(itemId, { kind: "updated", … })`, for no webhook does.
 */
export async function createUpdateToken<Problem>(
  { database, environment, plaid, use }: UpdateModeOptions<Problem>,
  itemId: string,
  request: UpdateModeRequest,
  {
    evenIfHealthy = false,
    selectAccounts = false,
  }: { evenIfHealthy?: boolean; selectAccounts?: boolean } = {},
): Promise<Result<LinkTokenCreateResponse, UpdateModeFailure<Problem>>> {
  const found = await database.read((sql) => standingOf(sql, { environment, itemId }));
  if (!found.ok) return err({ kind: "database", database: found.error });
  if (!found.value) return err({ kind: "unknown-item" });
  const { state, facts } = found.value;
  if (state === "removing" || state === "removed" || state === "stranded") {
    return err({ kind: "beyond-repair", state });
  }
  const account_selection_enabled = facts.accounts.waiting || selectAccounts;
  if (state === "healthy" && !evenIfHealthy && !selectAccounts) return err({ kind: "not-needed", state });
  return use(itemId, (access_token) =>
    Link.createToken(
      {
        ...request,
        access_token,
        ...(account_selection_enabled && { update: { account_selection_enabled } }),
      },
      plaid,
    ),
  );
}
