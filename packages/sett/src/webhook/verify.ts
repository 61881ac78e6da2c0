// Whether a delivery is Plaid's: signed with one of its keys, just now, over exactly these bytes. The order of the
// checks is part of the contract: nothing is looked up for a header that cannot be right, and nothing in the body
// is believed before its hash is.

import { compactVerify, decodeProtectedHeader, errors } from "jose";
import { callback, invalidField, object, type FieldsOf } from "../plaid/kinds.ts";
import { err, ok, type Result } from "../result.ts";
import type { Webhook } from "./events.ts";
import type { VerificationKeys } from "./keys.ts";
import type { Refusal, RefusalReason } from "./refusal.ts";
import { sha256Hex, toBytes } from "./sign.ts";

/** What arrived: the body's bytes as they came, and the value of the header `Plaid-Verification`. */
export interface Delivery {
  readonly body: Uint8Array | string;
  readonly header: string | null | undefined;
}

/** What a verification needs to know. */
export interface Verification {
  readonly keys: VerificationKeys;
  /** Unix time in milliseconds. */
  readonly now?: (() => number) | undefined;
}

export const verificationFields: FieldsOf<Verification> = { keys: callback, "now?": callback };

/** A webhook that is Plaid's, with what tells one delivery from another. */
export interface VerifiedDelivery {
  readonly webhook: Webhook;
  /** When Plaid signed it, in Unix seconds. The payload itself has no time. */
  readonly iatSeconds: number;
  /** Of the body; equal for the same event sent again, and for events that say the same. */
  readonly bodySha256: string;
}

/** A delivery is believed for this long after it was signed; Plaid's rule. */
export const maxAgeSeconds = 5 * 60;
/** How far ahead of ours Plaid's clock may be. */
const maxAheadSeconds = 60;

const refuse = (reason: RefusalReason, detail: string) => err<Refusal>({ reason, detail });

/**
 * Verifies a webhook.
 * @see https://plaid.com/docs/api/webhooks/webhook-verification/
 */
export async function verifyWebhook(
  delivery: Delivery,
  verification: Verification,
): Promise<Result<Webhook, Refusal>> {
  const verified = await verifyDelivery(delivery, verification);
  return verified.ok ? ok(verified.value.webhook) : verified;
}

/** The same, with the time and the hash of the delivery. */
export async function verifyDelivery(
  delivery: Delivery,
  verification: Verification,
): Promise<Result<VerifiedDelivery, Refusal>> {
  if (!object.accepts(delivery)) throw new TypeError("the delivery must be an object with body and header");
  const fault = invalidField(verificationFields, Object(verification));
  if (fault !== undefined) throw new TypeError(fault);
  const { body, header } = delivery;
  const { keys, now = Date.now } = verification;
  if (typeof body !== "string" && !(body instanceof Uint8Array)) {
    return refuse(
      "not-raw",
      "the body must be the bytes or the text as received, not what was parsed from them",
    );
  }
  if (!header) return refuse("malformed", "there is no Plaid-Verification header");

  const named = readHeader(header);
  if (!named) return refuse("malformed", "the Plaid-Verification header is not a JWT that names its key");
  if (named.alg !== "ES256") return refuse("wrong-alg", "the JWT is not signed with ES256");
  const unsigned = "the JWT is not signed by the key that it names";
  if (!signatureForm.test(header)) return refuse("bad-signature", unsigned);

  const found = await keys(named.kid);
  if (!found.ok) return found;
  const { key, expiredAtSeconds } = found.value;
  const verified = await compactVerify(header, key, { algorithms: ["ES256"] }).catch((thrown: unknown) => {
    if (thrown instanceof errors.JOSEError) return undefined;
    throw thrown;
  });
  if (!verified) return refuse("bad-signature", unsigned);
  const bodySha256 = await sha256Hex(toBytes(body));
  const claims = readObject(verified.payload);
  const iatSeconds = claims?.["iat"];
  const signedSha256 = claims?.["request_body_sha256"];
  if (typeof iatSeconds !== "number" || typeof signedSha256 !== "string") {
    return refuse("malformed", "the JWT has no iat or no request_body_sha256");
  }

  // By the time of signing, not of arrival: what was under way when the key expired is still Plaid's.
  if (expiredAtSeconds !== null && iatSeconds > expiredAtSeconds) {
    return refuse("expired-key", "the JWT was signed after its key had expired");
  }
  const ageSeconds = now() / 1000 - iatSeconds;
  // Said so that it refuses under a clock that tells no number, too.
  if (!(ageSeconds <= maxAgeSeconds)) return refuse("stale", "the JWT was signed more than 5 minutes ago");
  if (ageSeconds < -maxAheadSeconds)
    return refuse("future", "the JWT was signed more than a minute from now; check this machine's clock");
  if (!equalInConstantTime(signedSha256, bodySha256)) {
    return refuse(
      "body-mismatch",
      "the body is not the one that was signed; was it parsed and written again?",
    );
  }

  const webhook = readObject(body);
  if (typeof webhook?.["webhook_type"] !== "string" || typeof webhook["webhook_code"] !== "string") {
    return refuse("malformed", "the body is not a JSON object with webhook_type and webhook_code");
  }
  return ok({ webhook: webhook as unknown as Webhook, iatSeconds, bodySha256 });
}

/** A key id is a UUID today; what is longer than this is not looked up. */
const maxKidLength = 128;

/** What ends a JWT of ES256: 64 bytes. Looked at before jose, which Workers would blame for a promise that it drops. */
const signatureForm = /\.[\w-]{86}$/;

interface Named {
  readonly alg: string;
  readonly kid: string;
}

/** The header read last. All that a key signs begin with the same. */
let last: { readonly encoded: string; readonly named: Named } | undefined;

function readHeader(jwt: string): Named | undefined {
  if (typeof jwt !== "string") return undefined;
  const [encoded = "", ...rest] = jwt.split(".");
  if (rest.length !== 2) return undefined;
  if (last?.encoded === encoded) return last.named;
  try {
    const { alg, kid, crit } = decodeProtectedHeader(jwt);
    if (!alg || typeof alg !== "string" || typeof kid !== "string" || crit !== undefined) return undefined;
    if (kid === "" || kid.length > maxKidLength) return undefined;
    last = { encoded, named: { alg, kid } };
    return last.named;
  } catch {
    return undefined;
  }
}

const decoder = new TextDecoder();

function readObject(text: Uint8Array | string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(typeof text === "string" ? text : decoder.decode(text));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function equalInConstantTime(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
