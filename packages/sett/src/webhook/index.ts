// Webhooks of Plaid: verified, typed, received.

export type * from "./events.ts";
export { plaidKeys, type VerificationKey, type VerificationKeys } from "./keys.ts";
export { receive, type Receiver, type Reception, type WebhookHandler } from "./receiver.ts";
export type { Refusal, RefusalReason } from "./refusal.ts";
export { signWebhook, type SigningKey } from "./sign.ts";
export {
  verifyDelivery,
  verifyWebhook,
  type Delivery,
  type Verification,
  type VerifiedDelivery,
} from "./verify.ts";
