// The ways to verify one webhook, each with its key at hand: nothing is asked of Plaid while it is measured. The
// recipe is the JavaScript sample of Plaid's documentation (docs/api/webhooks/webhook-verification) step by step with
// the packages it names: the JWT decoded twice, the one cached JWK imported for each webhook, jose's jwtVerify with a
// `maxTokenAge` of 5 minutes, js-sha256 over the body, secure-compare. Older samples (jsonwebtoken with jwk-to-pem)
// are not documented any more.

import { randomBytes, randomUUID } from "node:crypto";
import type { JWKPublicKey } from "sett";
import type { MakeContender, Prepared } from "../contender.ts";
import { credentials } from "../recorded.ts";

interface Delivery {
  readonly body: Buffer;
  readonly header: string;
}

/** How many different webhooks take turns. */
const different = 128;
const kid = randomUUID();

/** Signs new webhooks before each round, since they may be 5 minutes old at most, and verifies one after the other. */
async function deliveries(verify: (delivery: Delivery) => Promise<unknown>, keys: Keys): Promise<Prepared> {
  const { signWebhook } = await import("sett/webhook");
  let signed: Delivery[] = [];
  let turn = 0;
  return {
    prepare: async () => {
      const iatSeconds = Math.floor(Date.now() / 1000);
      signed = await Promise.all(
        Array.from({ length: different }, async () => {
          const body = Buffer.from(JSON.stringify(webhook(), null, 2));
          return { body, header: await signWebhook(body, { kid, privateKey: keys.privateKey }, iatSeconds) };
        }),
      );
    },
    once: async () => {
      if (!(await verify(signed[turn++ % different]!))) throw new Error("a good webhook was refused");
    },
  };
}

const webhook = () => ({
  environment: "sandbox",
  error: {
    display_message: null,
    error_code: "ITEM_LOGIN_REQUIRED",
    error_message: "the login details of this item have changed; use Link's update mode to restore it",
    error_type: "ITEM_ERROR",
    status: 400,
  },
  item_id: randomBytes(18).toString("hex"),
  webhook_code: "ERROR",
  webhook_type: "ITEM",
});

interface Keys {
  readonly privateKey: CryptoKey;
  readonly jwk: JWKPublicKey;
}

async function makeKeys(): Promise<Keys> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const { crv, kty, x, y } = (await crypto.subtle.exportKey("jwk", publicKey)) as Record<string, string>;
  const created_at = Math.floor(Date.now() / 1000);
  const jwk = {
    alg: "ES256",
    crv: crv!,
    kid,
    kty: kty!,
    use: "sig",
    x: x!,
    y: y!,
    created_at,
    expired_at: null,
  };
  return { privateKey, jwk };
}

export const contenders = {
  "jose jwtVerify, key imported once": async () => {
    const { importJWK, jwtVerify } = await import("jose");
    const keys = await makeKeys();
    const key = await importJWK({ ...keys.jwk }, "ES256");
    return deliveries(({ header }) => jwtVerify(header, key), keys);
  },
  "sett verifyWebhook": async () => {
    const { plaidKeys, verifyWebhook } = await import("sett/webhook");
    const keys = await makeKeys();
    const body = JSON.stringify({ key: keys.jwk, request_id: "m8MDnv9okwxFNBV" });
    const post = async () => ({ status: 200, headers: new Headers(), body });
    const verification = { keys: plaidKeys({ ...credentials, post }) };
    return deliveries(async (delivery) => (await verifyWebhook(delivery, verification)).ok, keys);
  },
  "the documented recipe": async () => {
    const { importJWK, jwtVerify } = await import("jose");
    const { jwtDecode } = await import("jwt-decode");
    const { sha256 } = await import("js-sha256");
    const { default: compare } = await import("secure-compare");
    const keys = await makeKeys();
    const cachedKey = keys.jwk;
    return deliveries(async ({ body, header }) => {
      const decodedToken = jwtDecode<{ request_body_sha256: string }>(header);
      const { alg } = jwtDecode<{ alg: string }>(header, { header: true });
      if (alg !== "ES256") return false;
      await jwtVerify(header, await importJWK({ ...cachedKey }), { maxTokenAge: "5 min" });
      return compare(sha256(body), decodedToken.request_body_sha256);
    }, keys);
  },
} satisfies Record<string, MakeContender>;
