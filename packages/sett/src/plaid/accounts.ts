// The accounts of an Item, as Plaid last saw them.

import { callEndpoint, type Config } from "./call.ts";
import { accountsGet } from "./endpoints.ts";

/**
 * Gets the Item's accounts with their last known balances; all of them, or those named.
 * @see https://plaid.com/docs/api/accounts/#accountsget
 */
export const get = (accessToken: string, config: Config, accountIds?: string[]) =>
  callEndpoint(
    accountsGet,
    { access_token: accessToken, ...(accountIds && { options: { account_ids: accountIds } }) },
    config,
  );
