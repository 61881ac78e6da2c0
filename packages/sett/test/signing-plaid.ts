// A Plaid that knows one thing, its signing keys: it makes them, publishes them behind a transport, and keeps count
// of what it was asked. The keys and the signatures are real.

import { CompactSign, type CompactJWSHeaderParameters } from "jose";
import type { Answer, Config, Post } from "../src/index.ts";
import {
  plaidKeys,
  signWebhook,
  verifyWebhook,
  type Delivery,
  type SigningKey,
  type VerificationKeys,
} from "../src/webhook/index.ts";
import { answer, refusal } from "./scripted.ts";

/** Noon, 1 July 2026; the clock of these tests stands still unless moved. */
export const noon = 1_782_907_200;

export const syncUpdates = JSON.stringify(
  {
    webhook_type: "TRANSACTIONS",
    webhook_code: "SYNC_UPDATES_AVAILABLE",
    item_id: "wz666MBjYWTp2PDzzggYhM6oWWmBb",
    initial_update_complete: true,
    historical_update_complete: false,
    environment: "sandbox",
  },
  null,
  2,
);

export async function newKeyPair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
}

/** A JWT of any header and any payload, signed. */
export const forge = (
  header: CompactJWSHeaderParameters,
  payload: unknown,
  key: CryptoKey | Uint8Array,
): Promise<string> =>
  new CompactSign(new TextEncoder().encode(typeof payload === "string" ? payload : JSON.stringify(payload)))
    .setProtectedHeader(header)
    .sign(key);

export class SigningPlaid {
  /** The key ids it was asked for, one for each request that reached it. */
  readonly asked: string[] = [];
  /** Unix seconds; what `now` tells. */
  seconds = noon;
  /** When set, what it answers in place of keys. */
  trouble: (() => Answer | Promise<Answer>) | null = null;

  readonly #published = new Map<string, Record<string, unknown>>();

  readonly now = (): number => this.seconds * 1000;

  readonly post: Post = async (_url, body) => {
    const { key_id } = JSON.parse(body) as { key_id: string };
    this.asked.push(key_id);
    if (this.trouble) return this.trouble();
    const key = this.#published.get(key_id);
    return key
      ? answer(200, { key, request_id: "r1" })
      : refusal(400, "INVALID_WEBHOOK_VERIFICATION_KEY_ID", "INVALID_INPUT");
  };

  readonly config: Config = {
    clientId: "client-1234567890",
    secret: "secret-1234567890",
    post: this.post,
    random: () => 0,
    sleep: async () => {},
  };

  keys(): VerificationKeys {
    return plaidKeys(this.config, { now: this.now });
  }

  /** Makes a key and publishes its public half, with other members where `jwk` has them. */
  async newKey(jwk: Record<string, unknown> = {}, kid: string = crypto.randomUUID()): Promise<SigningKey> {
    const { privateKey, publicKey } = await newKeyPair();
    const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
    this.publish(kid, {
      ...{ alg: "ES256", crv, kid, kty, use: "sig", x, y, created_at: noon - 86_400, expired_at: null },
      ...jwk,
    });
    return { kid, privateKey };
  }

  publish(kid: string, jwk: Record<string, unknown>): void {
    this.#published.set(kid, { ...this.#published.get(kid), ...jwk });
  }

  withdraw(kid: string): void {
    this.#published.delete(kid);
  }

  /** A delivery of `body`, signed now unless told otherwise. */
  async sign(
    key: SigningKey,
    body: string | Uint8Array = syncUpdates,
    iatSeconds = this.seconds,
  ): Promise<Delivery> {
    return { body, header: await signWebhook(body, key, iatSeconds) };
  }

  /** "ok", or the reason why it is not. */
  async outcome(delivery: Delivery, keys: VerificationKeys): Promise<string> {
    const verified = await verifyWebhook(delivery, { keys, now: this.now });
    return verified.ok ? "ok" : verified.error.reason;
  }
}
