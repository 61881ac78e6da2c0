// The Item's own endpoints. They answer for an Item in any state, since they are how it is seen and ended; whether one in
// an error state can be rotated, and its webhook moved, a switch says.

import type * as endpoints from "sett/endpoints";
import { environmentOf, errorOnWire, itemOnWire, openItem, statusOnWire, type Asking } from "../items.ts";
import { toSecond } from "../json.ts";
import { notify, removeItem } from "../life.ts";
import type { Plaid } from "../plaid.ts";
import { Refusal, refusalOf } from "../refusals.ts";
import type { Handler } from "./handler.ts";

export const itemPublicTokenExchange: Handler<typeof endpoints.itemPublicTokenExchange> = (
  { public_token },
  plaid,
  { client_id },
) => {
  const { world, clock, ids } = plaid;
  if (environmentOf("public", public_token) === undefined) {
    throw new Refusal(
      "INVALID_PUBLIC_TOKEN",
      "provided public token is in an invalid format. expected format: public-<environment>-<identifier>",
    );
  }
  const issued = world.get("public_tokens", public_token);
  const item = issued && world.get("items", issued.item_id);
  const spent = issued?.exchanged && plaid.switches().secondExchange === "refuse";
  if (!item || item.client_id !== client_id || item.removed_at !== null || spent)
    throw new Refusal("INVALID_PUBLIC_TOKEN");
  if (issued.expires_at <= clock.now()) throw new Refusal("INVALID_PUBLIC_TOKEN");

  // An Item has one access token, whatever number of public tokens lead to it.
  const access_token = item.access_token ?? ids.token("access");
  world.put("public_tokens", public_token, { ...issued, exchanged: true });
  if (item.access_token === null) {
    world.put("access_tokens", access_token, { item_id: item.item_id, rotated: false });
    world.put("items", item.item_id, { ...item, access_token });
  }
  return { access_token, item_id: item.item_id };
};

export const itemGet: Handler<typeof endpoints.itemGet> = ({ access_token }, plaid, asking) => {
  const item = openItem(plaid, asking, access_token, "whatever");
  if (item.error?.error_code === "USER_PERMISSION_REVOKED") {
    const switches = plaid.switches();
    if (switches.revokedItem === "USER_PERMISSION_REVOKED") throw refusalOf(item.error, switches);
  }
  return {
    item: { ...itemOnWire(item, errorOnWire(plaid, item)), created_at: toSecond(item.created_at) },
    status: statusOnWire(item),
  };
};

const openToChange = (plaid: Plaid, asking: Asking, access_token: string) =>
  openItem(plaid, asking, access_token, plaid.switches().unhealthyItem === "refuse" ? "healthy" : "whatever");

export const itemAccessTokenInvalidate: Handler<typeof endpoints.itemAccessTokenInvalidate> = (
  { access_token },
  plaid,
  asking,
) => {
  const { world, ids } = plaid;
  const item = openToChange(plaid, asking, access_token);
  const { item_id } = item;
  const new_access_token = ids.token("access");
  world.put("access_tokens", access_token, { item_id, rotated: true });
  world.put("access_tokens", new_access_token, { item_id, rotated: false });
  world.put("items", item_id, { ...item, access_token: new_access_token });
  return { new_access_token };
};

export const itemRemove: Handler<typeof endpoints.itemRemove> = ({ access_token }, plaid, asking) => {
  removeItem(plaid, openItem(plaid, asking, access_token, "whatever"));
  return {};
};

export const itemWebhookUpdate: Handler<typeof endpoints.itemWebhookUpdate> = (
  { access_token, webhook },
  plaid,
  asking,
) => {
  const before = openToChange(plaid, asking, access_token);
  // A request without the field clears nothing and changes nothing: which of the two Plaid does is not known.
  const item = { ...before, webhook: webhook === undefined ? before.webhook : (webhook ?? "") };
  plaid.world.put("items", item.item_id, item);
  notify(plaid, item, "ITEM", "WEBHOOK_UPDATE_ACKNOWLEDGED", { error: null, new_webhook_url: item.webhook });
  return { item: itemOnWire(item) };
};
