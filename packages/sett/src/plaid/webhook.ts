// The public keys with which Plaid's webhooks are verified. To verify one, see sett/webhook.

import { callEndpoint, type Config } from "./call.ts";
import { webhookVerificationKeyGet } from "./endpoints.ts";

/**
 * Gets the public key that the header of a webhook names. Keys belong to an environment: ask the one that sent it.
 * @see https://plaid.com/docs/api/webhooks/webhook-verification/
 */
export const getVerificationKey = (keyId: string, config: Config) =>
  callEndpoint(webhookVerificationKeyGet, { key_id: keyId }, config);
