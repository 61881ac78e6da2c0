// Why a delivery is not believed. A closed list: every check that can fail has its own word.

/**
 * - `malformed`: no header, no JWT, or a body that is no webhook
 * - `wrong-alg`: signed with anything but ES256; found before any key is asked for
 * - `unknown-key`: Plaid does not know the key id in this environment
 * - `expired-key`: signed after its key had expired
 * - `bad-signature`: not signed by that key
 * - `stale`: signed more than 5 minutes ago
 * - `future`: signed more than 60 seconds ahead of this machine's clock
 * - `body-mismatch`: the body is not the one that was signed
 * - `not-raw`: a parsed object was handed over; the hash is over the bytes as they came
 * - `keys-unavailable`: the key could not be asked for just now; the only one that is worth another try
 */
export type RefusalReason =
  | "malformed"
  | "wrong-alg"
  | "unknown-key"
  | "expired-key"
  | "bad-signature"
  | "stale"
  | "future"
  | "body-mismatch"
  | "not-raw"
  | "keys-unavailable";

/** A refusal, as plain data. It repeats nothing of the delivery. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** For a log or a person. */
  readonly detail: string;
}
