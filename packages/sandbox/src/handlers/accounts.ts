// Accounts of an Item, as far as /accounts/get.

import type * as endpoints from "sett/endpoints";
import { itemOnWire, openItem } from "../items.ts";
import { Refusal } from "../refusals.ts";
import type { Handler } from "./handler.ts";

export const accountsGet: Handler<typeof endpoints.accountsGet> = (
  { access_token, options },
  plaid,
  asking,
) => {
  const cached = plaid.switches().cachedAccounts === "answer";
  const item = openItem(plaid, asking, access_token, cached ? "whatever" : "healthy");
  const wanted = options?.account_ids;
  const known = new Set(item.accounts.map((account) => account.account_id));
  if (wanted?.some((id) => !known.has(id))) throw new Refusal("INVALID_ACCOUNT_ID");
  return {
    accounts: item.accounts.filter((account) => !wanted || wanted.includes(account.account_id)),
    item: itemOnWire(item),
  };
};
