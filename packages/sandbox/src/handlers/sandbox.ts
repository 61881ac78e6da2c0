// What only Plaid's Sandbox can do: make an Item without Link, break its login, fire a webhook, end a verification.

import type * as endpoints from "sett/endpoints";
import { createItem, issuePublicToken, openItem } from "../items.ts";
import { fail, notify } from "../life.ts";
import { Refusal } from "../refusals.ts";
import { firedWebhook } from "../fired.ts";
import { refuseUsers } from "./link.ts";
import type { Handler } from "./handler.ts";

export const sandboxPublicTokenCreate: Handler<typeof endpoints.sandboxPublicTokenCreate> = (
  { institution_id, initial_products, options = {}, user_id, user_token },
  plaid,
  { client_id },
) => {
  refuseUsers(user_id, user_token);
  const item = createItem(plaid, {
    client_id,
    institution_id,
    products: initial_products,
    webhook: options.webhook ?? "",
    username: options.override_username ?? "user_good",
    password: options.override_password ?? "pass_good",
  });
  return { public_token: issuePublicToken(plaid, item) };
};

export const sandboxItemResetLogin: Handler<typeof endpoints.sandboxItemResetLogin> = (
  { access_token },
  plaid,
  asking,
) => {
  fail(plaid, openItem(plaid, asking, access_token, "whatever"), "ITEM_LOGIN_REQUIRED");
  return { reset_login: true };
};

export const sandboxItemFireWebhook: Handler<typeof endpoints.sandboxItemFireWebhook> = (
  { access_token, webhook_code, webhook_type },
  plaid,
  asking,
) => {
  const item = openItem(plaid, asking, access_token, "whatever");
  if (item.webhook === "") throw new Refusal("SANDBOX_WEBHOOK_INVALID");
  const { type, fields } = firedWebhook(plaid, item, webhook_code, webhook_type);
  notify(plaid, item, type, webhook_code, fields);
  return { webhook_fired: true };
};

export const sandboxItemSetVerificationStatus: Handler<typeof endpoints.sandboxItemSetVerificationStatus> = (
  { access_token, account_id, verification_status },
  plaid,
  asking,
) => {
  const item = openItem(plaid, asking, access_token, "whatever");
  if (!item.products.includes("auth")) throw new Refusal("SANDBOX_PRODUCT_NOT_ENABLED", "auth");
  // Only accounts that are verified by automated micro-deposits have such a status.
  const account = item.accounts.find((each) => each.account_id === account_id);
  if (account?.verification_status === undefined) throw new Refusal("INVALID_ACCOUNT_ID");
  plaid.world.put("items", item.item_id, {
    ...item,
    accounts: item.accounts.map((each) => (each === account ? { ...each, verification_status } : each)),
  });
  notify(plaid, item, "AUTH", verification_status.toUpperCase(), { account_id, error: null });
  return {};
};
