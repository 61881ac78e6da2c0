// Signing a webhook as Plaid does: for the sandbox, and for the tests of whoever receives webhooks.

import { CompactSign, type CryptoKey } from "jose";
import { invalidField, shape, text, type FieldsOf } from "../plaid/kinds.ts";

/** A private key of ES256 (P-256) and the id under which its public half is published. */
export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
}

const signingKeyFields: FieldsOf<SigningKey> = {
  kid: text,
  privateKey: {
    expected: "a private CryptoKey of ECDSA with the curve P-256",
    accepts: (value) => {
      const { type, algorithm } = Object(value) as CryptoKey;
      const { name, namedCurve } = Object(algorithm) as { name?: string; namedCurve?: string };
      return type === "private" && name === "ECDSA" && namedCurve === "P-256";
    },
  },
};
const signedFields: FieldsOf<{ body: string | Uint8Array; key: SigningKey; iatSeconds: number }> = {
  body: {
    expected: "a string or bytes",
    accepts: (value) => typeof value === "string" || value instanceof Uint8Array,
  },
  key: shape(signingKeyFields),
  iatSeconds: { expected: "a number of seconds", accepts: Number.isFinite },
};

/**
 * The value of the `Plaid-Verification` header for a body: a JWT over the SHA-256 of exactly these bytes.
 * `iatSeconds` is the time of signing in Unix seconds.
 * @see https://plaid.com/docs/api/webhooks/webhook-verification/
 */
export async function signWebhook(
  body: string | Uint8Array,
  key: SigningKey,
  iatSeconds: number,
): Promise<string> {
  const fault = invalidField(signedFields, { body, key, iatSeconds });
  if (fault !== undefined) throw new TypeError(`signWebhook: ${fault}`);
  const payload = { iat: iatSeconds, request_body_sha256: await sha256Hex(toBytes(body)) };
  return new CompactSign(toBytes(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "ES256", kid: key.kid, typ: "JWT" })
    .sign(key.privateKey);
}

const encoder = new TextEncoder();

/** UTF-8, where it is not bytes already. */
export const toBytes = (body: string | Uint8Array): Uint8Array<ArrayBuffer> =>
  (typeof body === "string" ? encoder.encode(body) : body) as Uint8Array<ArrayBuffer>;

/** Node's own hash, where there is one: the way through WebCrypto's threads takes twenty times as long as the hashing. */
const { process } = globalThis as { process?: { getBuiltinModule?: (id: string) => unknown } };
const native = process?.getBuiltinModule?.("crypto") as
  { hash?: (algorithm: string, data: Uint8Array, encoding: "hex") => string } | undefined;

/** Lower-case hex, as Plaid writes it. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (native?.hash) return native.hash("sha256", bytes, "hex");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  let hex = "";
  for (const byte of digest) hex += byte.toString(16).padStart(2, "0");
  return hex;
}
