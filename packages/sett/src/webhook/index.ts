// Webhooks of Plaid: verified, typed, received.

export { signWebhook, type SigningKey } from "./sign.ts";
