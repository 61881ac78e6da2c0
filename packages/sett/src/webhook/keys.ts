// Plaid's public keys by id. One look-up for each key and hour, one flight at a time, and a bound on what strangers
// can make us ask: anyone can send a header that names a key.

import { importJWK } from "jose";
import { describe } from "../plaid/advice.ts";
import type { Config } from "../plaid/call.ts";
import { getVerificationKey } from "../plaid/webhook.ts";
import { err, ok, type Result } from "../result.ts";
import type { Refusal } from "./refusal.ts";

/** A public key, ready for use. */
export interface VerificationKey {
  readonly key: CryptoKey;
  /** When it expired or will, in Unix seconds; null while that is open. */
  readonly expiredAtSeconds: number | null;
}

/** Finds the key of a key id, or says why there is none: `unknown-key` or `keys-unavailable`. */
export type VerificationKeys = (kid: string) => Promise<Result<VerificationKey, Refusal>>;

/** How long an answer of Plaid's is believed. Plaid publishes no rotation period; an hour bounds how late an expiry is seen. */
const keyTtlMs = 60 * 60_000;
/** How long an id that Plaid does not know is not asked for again. */
const unknownTtlMs = 60_000;
/** How many look-ups that Plaid answered with "unknown" are made within {@link unknownTtlMs}. */
const unknownLimit = 10;

/** The keys of the Plaid that `config` points to: it must be the environment that sends the webhooks. */
export function plaidKeys(
  config: Config,
  { now = Date.now }: { readonly now?: () => number } = {},
): VerificationKeys {
  const known = new Map<string, { value: VerificationKey; until: number }>();
  const unknown = new Map<string, number>();
  const flights = new Map<string, ReturnType<VerificationKeys>>();
  /** Look-ups under way of ids that are not known: each may turn out to be a stranger's. */
  let doubtful = 0;

  async function lookUp(kid: string): ReturnType<VerificationKeys> {
    const answer = await getVerificationKey(kid, config);
    if (!answer.ok) {
      const { error: failure } = answer;
      if (failure.kind === "refused" && failure.error.error_code === "INVALID_WEBHOOK_VERIFICATION_KEY_ID") {
        known.delete(kid);
        unknown.set(kid, now() + unknownTtlMs);
        return err({ reason: "unknown-key", detail: "Plaid does not know this key id in this environment" });
      }
      return err({ reason: "keys-unavailable", detail: describe(failure) });
    }
    const { key: jwk } = answer.value;
    try {
      const key = (await importJWK({ kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, "ES256")) as CryptoKey;
      const value: VerificationKey = { key, expiredAtSeconds: jwk.expired_at };
      known.set(kid, { value, until: now() + keyTtlMs });
      return ok(value);
    } catch {
      return err({
        reason: "keys-unavailable",
        detail: "the key that Plaid sent cannot be read as one of ES256",
      });
    }
  }

  return async (kid) => {
    const cached = known.get(kid);
    if (cached && cached.until > now()) return ok(cached.value);
    const flight = flights.get(kid);
    if (flight) return flight;

    for (const [id, until] of unknown) if (until <= now()) unknown.delete(id);
    if (unknown.has(kid))
      return err({ reason: "unknown-key", detail: "Plaid did not know this key id a moment ago" });
    if (!cached && unknown.size + doubtful >= unknownLimit) {
      return err({
        reason: "keys-unavailable",
        detail: "too many unknown key ids; no more look-ups for a minute",
      });
    }
    if (!cached) doubtful++;
    const started = lookUp(kid).finally(() => {
      flights.delete(kid);
      if (!cached) doubtful--;
    });
    flights.set(kid, started);
    return started;
  };
}
