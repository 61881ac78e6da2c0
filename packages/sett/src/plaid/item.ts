// An Item: one end user's login at one bank. The five calls of its life, named as in Plaid.Item of elixir_plaid.

import { callEndpoint, type Config } from "./call.ts";
import {
  itemAccessTokenInvalidate,
  itemGet,
  itemPublicTokenExchange,
  itemRemove,
  itemWebhookUpdate,
} from "./endpoints.ts";
import { url } from "./kinds.ts";
import type { ItemRemoveRequest } from "./wire.ts";

// A namespace hides the type of its own name.
export type { Item } from "./wire.ts";

/**
 * Exchanges the public token that Link gave to your page (it lives 30 minutes) for the Item's access token, which
 * never expires and is billed until {@link remove}: save it before anything else. It is never sent twice, because
 * Plaid does not say what a second exchange answers.
 * @see https://plaid.com/docs/api/items/#itempublic_tokenexchange
 */
export const exchangePublicToken = (publicToken: string, config: Config) =>
  callEndpoint(itemPublicTokenExchange, { public_token: publicToken }, config);

/**
 * Gets the Item and what Plaid last did for it, of an unhealthy Item too: `item.error` then says what is wrong. Calls
 * for data refuse with that error instead, and no other call shows it in its `item`.
 * @see https://plaid.com/docs/api/items/#itemget
 */
export const get = (accessToken: string, config: Config) =>
  callEndpoint(itemGet, { access_token: accessToken }, config);

/**
 * Rotates the access token: the answer's `new_access_token` works, the old one is dead at once. If the answer is
 * lost, so may be the only working token; it is therefore never sent twice. Ask {@link get} whether the old one
 * still works before you repeat it.
 * @see https://plaid.com/docs/api/items/#itemaccess_tokeninvalidate
 */
export const invalidateAccessToken = (accessToken: string, config: Config) =>
  callEndpoint(itemAccessTokenInvalidate, { access_token: accessToken }, config);

/** Why an Item is removed; for Plaid's records. `reason_note` has 512 characters at most and names no person. */
export type RemoveReason = Omit<ItemRemoveRequest, "access_token">;

/**
 * Removes the Item: its tokens die and its billing ends. A lost answer is followed by another attempt, since an Item
 * cannot be removed twice, and ITEM_NOT_FOUND then counts as done.
 * @see https://plaid.com/docs/api/items/#itemremove
 */
export const remove = (accessToken: string, config: Config, reason?: RemoveReason) =>
  callEndpoint(itemRemove, { ...reason, access_token: accessToken }, config);

/**
 * Moves the Item's webhook to another URL, or takes it away with null. Plaid acknowledges at the new URL with
 * ITEM: WEBHOOK_UPDATE_ACKNOWLEDGED.
 * @see https://plaid.com/docs/api/items/#itemwebhookupdate
 */
export async function updateWebhook(accessToken: string, webhook: string | null, config: Config) {
  // Stricter than Plaid, which lets the field be left out or empty: an unset variable is a mistake, not a wish.
  if (webhook !== null && !url.accepts(webhook)) {
    throw new TypeError(`${itemWebhookUpdate.path}: webhook must be an http(s) URL, or null to take it away`);
  }
  return callEndpoint(itemWebhookUpdate, { access_token: accessToken, webhook }, config);
}
