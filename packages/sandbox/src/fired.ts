// The webhooks that /sandbox/item/fire_webhook can send: which type a code has, which product it needs, what it
// carries. Values that Plaid fills in by itself are not documented; those of Plaid's samples are used.

import { WARNING_MS } from "./items.ts";
import { toMillisecond } from "./json.ts";
import type { Plaid } from "./plaid.ts";
import { Refusal, webhookError } from "./refusals.ts";
import type { ItemRecord } from "./world.ts";

/** DEFAULT_UPDATE by type: the product it needs, and what it carries. */
const updates: Readonly<Record<string, readonly [product: string, fields: (item: ItemRecord) => object]>> = {
  AUTH: [
    "auth",
    (item) => ({
      account_ids_with_new_auth: [],
      account_ids_with_updated_auth: { [firstAccount(item)]: ["ACCOUNT_NUMBER"] },
      error: null,
    }),
  ],
  HOLDINGS: ["investments", () => ({ error: null, new_holdings: 19, updated_holdings: 0 })],
  IDENTITY: [
    "identity",
    (item) => ({ account_ids_with_updated_identity: { [firstAccount(item)]: ["ADDRESSES"] }, error: null }),
  ],
  INVESTMENTS_TRANSACTIONS: [
    "investments",
    () => ({ cancelled_investments_transactions: 0, error: null, new_investments_transactions: 16 }),
  ],
  LIABILITIES: [
    "liabilities",
    (item) => ({
      account_ids_with_new_liabilities: [firstAccount(item)],
      account_ids_with_updated_liabilities: {},
      error: null,
    }),
  ],
  TRANSACTIONS: ["transactions", () => ({ error: null, new_transactions: 3 })],
};

const firstAccount = (item: ItemRecord) => item.accounts[0]?.account_id ?? "";

/** Type and fields of a webhook to fire, or a Refusal. */
export function firedWebhook(plaid: Plaid, item: ItemRecord, code: string, askedType: string | undefined) {
  const switches = plaid.switches();
  const only = (type: string, fields: object = {}, product?: string) => {
    if (askedType !== undefined && askedType !== type)
      throw new Refusal("INVALID_FIELD", `webhook_type must be ${type} for webhook_code ${code}`);
    if (product !== undefined && !item.products.includes(product))
      throw new Refusal("SANDBOX_PRODUCT_NOT_ENABLED", product);
    return { type, fields };
  };
  const error = (error_code: "USER_PERMISSION_REVOKED" | "PRODUCT_NOT_ENABLED") =>
    webhookError({ error_code, error_code_reason: null }, switches);

  /** A report may span several Items, so its webhooks name none. */
  const report = () => ({ item_id: undefined, asset_report_id: plaid.ids.uuid() });

  switch (code) {
    case "DEFAULT_UPDATE": {
      const enabled = Object.keys(updates).find((type) => item.products.includes(updates[type]![0]));
      const type =
        askedType ??
        (switches.firedDefaultType === "first-product" ? (enabled ?? "TRANSACTIONS") : "TRANSACTIONS");
      const update = updates[type];
      if (!update)
        throw new Refusal("INVALID_FIELD", `webhook_type must be one of ${Object.keys(updates).join(", ")}`);
      return only(type, update[1](item), update[0]);
    }
    case "SYNC_UPDATES_AVAILABLE": {
      const complete = { initial_update_complete: true, historical_update_complete: true };
      return only("TRANSACTIONS", complete, "transactions");
    }
    case "RECURRING_TRANSACTIONS_UPDATE": {
      const account_ids = item.accounts.slice(0, 2).map((account) => account.account_id);
      return only("TRANSACTIONS", { account_ids }, "transactions");
    }
    case "PRODUCT_READY":
      return only("ASSETS", { ...report(), report_type: "FULL" }, "assets");
    case "ERROR":
      return only(
        "ASSETS",
        { ...report(), error: { ...error("PRODUCT_NOT_ENABLED"), error_type: "ASSET_REPORT_ERROR" } },
        "assets",
      );
    case "SMS_MICRODEPOSITS_VERIFICATION":
      return only("AUTH", { account_id: firstAccount(item), status: "MANUALLY_VERIFIED" });
    case "USER_PERMISSION_REVOKED":
      return only("ITEM", { error: error("USER_PERMISSION_REVOKED") });
    case "USER_ACCOUNT_REVOKED":
      return only("ITEM", { account_id: firstAccount(item) });
    case "NEW_ACCOUNTS_AVAILABLE":
      return only("ITEM", { error: null });
    case "PENDING_DISCONNECT": {
      const disconnect_time = toMillisecond(plaid.clock.now() + WARNING_MS);
      return only("ITEM", { disconnect_time, reason: switches.firedDisconnectReason });
    }
    default:
      // LOGIN_REPAIRED carries nothing; what AUTHORIZATION_GRANTED carries is not documented.
      return only("ITEM");
  }
}
