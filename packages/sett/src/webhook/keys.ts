// Plaid's public keys by id. One look-up for each key and hour, one flight at a time, and a bound on what strangers
// can make us ask: anyone can send a header that names a key.

import { importJWK, type CryptoKey } from "jose";
import { describe } from "../plaid/advice.ts";
import type { Config } from "../plaid/call.ts";
import { callback, configFields, faultInOptions, invalidField } from "../plaid/kinds.ts";
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
/** How long an id that Plaid does not know is not asked for again, and a look-up that brought no key counts. */
const fruitlessTtlMs = 60_000;
/**
 * How many look-ups may bring no key, for whatever reason, within {@link fruitlessTtlMs}: of ids that are not known, and as many
 * of ids that are, since these are no secret.
 */
const fruitlessLimit = 10;
/**
 * How many of these are kept for ids that were turned away before: Plaid comes again with the same id, while a stranger who
 * makes up ids needs ever new ones.
 */
const reserved = 3;
/** How many ids that were turned away are remembered: of 300 strange ones a second, those of the last half minute. */
const turnedAwayLimit = 10_000;

/**
 * The keys of the Plaid that `config` points to: it must be the environment that sends the webhooks. Throws a TypeError
 * where the configuration cannot be right, and not at the first webhook.
 */
export function plaidKeys(config: Config, options: { readonly now?: () => number } = {}): VerificationKeys {
  const mistake =
    invalidField(configFields, Object(config), "config.") ??
    faultInOptions("the options", options, { "now?": callback });
  if (mistake) throw new TypeError(`plaidKeys: ${mistake}`);
  const { now = Date.now } = options;
  const known = new Map<string, { value: VerificationKey; until: number }>();
  const unknown = new Map<string, number>();
  const flights = new Map<string, ReturnType<VerificationKeys>>();
  const ofStrange: Tally = { underWay: 0, fruitless: [] };
  const ofKnown: Tally = { underWay: 0, fruitless: [] };
  /** The last one turned away is last. */
  const turnedAway = new Set<string>();

  async function lookUp(kid: string): ReturnType<VerificationKeys> {
    const answer = await getVerificationKey(kid, config);
    if (!answer.ok) {
      const { error: failure } = answer;
      if (failure.kind === "refused" && failure.error.error_code === "INVALID_WEBHOOK_VERIFICATION_KEY_ID") {
        known.delete(kid);
        unknown.set(kid, now() + fruitlessTtlMs);
        return err({ reason: "unknown-key", detail: "Plaid does not know this key id in this environment" });
      }
      return err({ reason: "keys-unavailable", detail: describe(failure) });
    }
    const { key: jwk } = answer.value;
    try {
      const key = (await importJWK({ kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, "ES256")) as CryptoKey;
      // Were another spelling of a known id taken for it, strangers could have us ask without a bound.
      if (jwk.kid !== kid)
        return err({ reason: "keys-unavailable", detail: "Plaid sent a key of another id" });
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

  async function lookUpCounted(kid: string, tally: Tally): ReturnType<VerificationKeys> {
    tally.underWay++;
    try {
      const found = await lookUp(kid);
      if (!found.ok) tally.fruitless.push(now() + fruitlessTtlMs);
      return found;
    } finally {
      tally.underWay--;
    }
  }

  return async (kid) => {
    const cached = known.get(kid);
    if (cached && cached.until > now()) return ok(cached.value);
    const flight = flights.get(kid);
    if (flight) return flight;

    for (const [id, until] of unknown) if (until <= now()) unknown.delete(id);
    // What an expired key has signed is stale long before it is dropped. Not before its hour is over: who names it again and
    // again would have us ask as often.
    for (const [id, { value, until }] of known)
      if (until <= now() && expiredFor(value, now()) > keyTtlMs) known.delete(id);
    if (unknown.has(kid))
      return err({ reason: "unknown-key", detail: "Plaid did not know this key id a moment ago" });
    const tally = cached ? ofKnown : ofStrange;
    const { fruitless, underWay } = tally;
    while (fruitless.length > 0 && fruitless[0]! <= now()) fruitless.shift();
    const cameAgain = turnedAway.delete(kid);
    if (fruitlessLimit - fruitless.length - underWay <= (cached || cameAgain ? 0 : reserved)) {
      turnedAway.add(kid);
      if (turnedAway.size > turnedAwayLimit) turnedAway.delete(turnedAway.values().next().value!);
      return err({
        reason: "keys-unavailable",
        detail: "too many look-ups brought no key within a minute",
      });
    }
    const started = lookUpCounted(kid, tally);
    const landed = () => flights.delete(kid);
    started.then(landed, landed);
    flights.set(kid, started);
    return started;
  };
}

/** Counted whatever the reason: a flood may come in an outage. */
interface Tally {
  /** Look-ups that may yet bring no key. */
  underWay: number;
  /** When each that brought none is forgotten. */
  readonly fruitless: number[];
}

const expiredFor = ({ expiredAtSeconds }: VerificationKey, nowMs: number): number =>
  expiredAtSeconds === null ? -Infinity : nowMs - expiredAtSeconds * 1000;
