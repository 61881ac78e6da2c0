// What Plaid's sandbox alone can do: make an Item without Link, and put it into the states that production brings.

import { callEndpoint, type Config } from "./call.ts";
import {
  sandboxItemFireWebhook,
  sandboxItemResetLogin,
  sandboxItemSetVerificationStatus,
  sandboxPublicTokenCreate,
} from "./endpoints.ts";
import type { Products, SandboxItemFireWebhookRequest, SandboxPublicTokenCreateRequest } from "./wire.ts";

/** How the Item is to be made: its webhook, who logs in, how far back its transactions go. */
export type PublicTokenOptions = NonNullable<SandboxPublicTokenCreateRequest["options"]>;
export type FiredCode = SandboxItemFireWebhookRequest["webhook_code"];
export type FiredType = NonNullable<SandboxItemFireWebhookRequest["webhook_type"]>;
export type VerificationStatus = "automatically_verified" | "verification_expired";

/**
 * Makes an Item as if a user had gone through Link, and gives its public token.
 * @see https://plaid.com/docs/api/sandbox/#sandboxpublic_tokencreate
 */
export const createPublicToken = (
  institutionId: string,
  initialProducts: Products[],
  config: Config,
  options?: PublicTokenOptions,
) =>
  callEndpoint(
    sandboxPublicTokenCreate,
    { institution_id: institutionId, initial_products: initialProducts, ...(options && { options }) },
    config,
  );

/**
 * Puts the Item into ITEM_LOGIN_REQUIRED and sends the webhook ITEM: ERROR, if it has a webhook.
 * @see https://plaid.com/docs/api/sandbox/#sandboxitemreset_login
 */
export const resetLogin = (accessToken: string, config: Config) =>
  callEndpoint(sandboxItemResetLogin, { access_token: accessToken }, config);

/**
 * Sends the Item's webhook an event of the kind asked for; the Item itself stays as it is. There is no code for
 * ITEM: ERROR ("ERROR" is the one of ASSETS); use {@link resetLogin}.
 * @see https://plaid.com/docs/api/sandbox/#sandboxitemfire_webhook
 */
export const fireWebhook = (
  accessToken: string,
  webhookCode: FiredCode,
  config: Config,
  webhookType?: FiredType,
) =>
  callEndpoint(
    sandboxItemFireWebhook,
    {
      access_token: accessToken,
      webhook_code: webhookCode,
      ...(webhookType && { webhook_type: webhookType }),
    },
    config,
  );

/**
 * Ends the verification of an account by automated micro-deposits, one way or the other.
 * @see https://plaid.com/docs/api/sandbox/#sandboxitemset_verification_status
 */
export const setVerificationStatus = (
  accessToken: string,
  accountId: string,
  verificationStatus: VerificationStatus,
  config: Config,
) =>
  callEndpoint(
    sandboxItemSetVerificationStatus,
    { access_token: accessToken, account_id: accountId, verification_status: verificationStatus },
    config,
  );
