// The public halves of the keys that webhooks are signed with.

import type * as endpoints from "sett/endpoints";
import { Refusal } from "../refusals.ts";
import type { Handler } from "./handler.ts";

export const webhookVerificationKeyGet: Handler<typeof endpoints.webhookVerificationKeyGet> = (
  { key_id },
  plaid,
) => {
  const key = plaid.keys.find(key_id);
  if (!key || (key.expired_at !== null && plaid.switches().expiredKeys === "refused"))
    throw new Refusal("INVALID_WEBHOOK_VERIFICATION_KEY_ID");
  const { kid, x, y, created_at, expired_at } = key;
  return {
    key: { alg: "ES256", created_at, crv: "P-256", expired_at, kid, kty: "EC", use: "sig", x, y },
  };
};
