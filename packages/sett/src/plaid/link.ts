// Link tokens: what Link needs to open, and how to learn afterwards what a session came to.

import { callEndpoint, type Config } from "./call.ts";
import { linkTokenCreate, linkTokenGet } from "./endpoints.ts";
import type { LinkTokenCreateRequest } from "./wire.ts";

/**
 * Creates the token with which Link opens: 4 hours for a new Item, 30 minutes in update mode (`access_token` given).
 * With `hosted_link.delivery_method` Plaid also writes to the user: it is then sent again only where it surely was not
 * carried out. `advice` does not see that from a failure, and says "retry" of a lost one too.
 * @see https://plaid.com/docs/api/link/#linktokencreate
 */
export const createToken = (request: LinkTokenCreateRequest, config: Config) =>
  callEndpoint(
    request?.hosted_link?.delivery_method ? { ...linkTokenCreate, effect: "once" } : linkTokenCreate,
    request,
    config,
  );

/**
 * Gets what a link token was made for and what its sessions brought; kept up to 6 hours after a session, and so the
 * way back to a public token that was lost.
 * @see https://plaid.com/docs/api/link/#linktokenget
 */
export const getToken = (linkToken: string, config: Config) =>
  callEndpoint(linkTokenGet, { link_token: linkToken }, config);
