// What went wrong, sorted by what is now known. Plain data: it goes into logs, queues and databases as it is, and
// it is safe there, because it never holds the request, its headers or the configuration.

import type { PlaidError } from "./wire.ts";

/** What is known of the call as a whole. */
export interface Attempted {
  /** The endpoint, for instance `/item/get`. */
  readonly path: string;
  /** How many times the request was made, the first one included. */
  readonly attempts: number;
  /** How many of these Plaid may have carried out without our learning it; see {@link happened}. */
  readonly lost: number;
}

/** Plaid answered, and its answer is its own error. Decide by `error.error_code`; the status is unreliable by Plaid's policy. */
export interface Refused {
  readonly kind: "refused";
  readonly status: number;
  readonly error: PlaidError;
  /** What Plaid's support asks for first. */
  readonly request_id: string | null;
}

/** The request never reached Plaid: no name, no connection, no trust in the certificate, or stopped before it was sent. */
export interface Unsent {
  readonly kind: "unsent";
  readonly why: "aborted" | "timeout" | "disconnected";
  /** The system's code where there is one, such as `ECONNREFUSED`. */
  readonly code: string | null;
  /** The system's words. */
  readonly detail: string | null;
}

/** The request was sent and no answer came. Whether it was carried out is not known. */
export interface Unanswered {
  readonly kind: "unanswered";
  readonly why: "aborted" | "timeout" | "disconnected";
  readonly code: string | null;
  readonly detail: string | null;
}

/** An answer came that is not one of Plaid's: a proxy's page, cut JSON, a field missing that is always there. */
export interface Unreadable {
  readonly kind: "unreadable";
  readonly status: number;
  readonly why: "not-json" | "not-plaid" | "missing-field";
  /** For `missing-field` the sentence that names it, else null. */
  readonly detail: string | null;
  readonly contentType: string | null;
  /** The start of the body, where its status shows that it holds no token (not 2xx); else null. */
  readonly excerpt: string | null;
}

/** Why a call has no answer to give. JSON-safe; printing it is always safe. */
export type Failure = Finding & Attempted;

/** The same, of one attempt alone. */
export type Finding = Refused | Unsent | Unanswered | Unreadable;

/**
 * Whether Plaid may have carried the call out all the same. "no" is certain; after "unknown" look before you
 * repeat: `/item/get` shows whether a token still works.
 */
export const happened = (failure: Failure): "no" | "unknown" => (failure.lost > 0 ? "unknown" : "no");

/**
 * What Plaid or the network said, without any of the secrets and without anything that has the shape of one of
 * Plaid's tokens. It goes through JSON so that names are masked as well as values.
 */
export function masked<Said>(said: Said, secrets: string[]): Said {
  let text = JSON.stringify(said);
  // The longest first: one may begin as another does.
  for (const secret of secrets.sort((one, other) => other.length - one.length)) {
    // What is shorter is a word, not a secret (Plaid's have 24 characters and more), and would eat the message.
    if (secret.length > 7) text = text.replaceAll(JSON.stringify(secret).slice(1, -1), "***");
  }
  return JSON.parse(
    text.replace(
      /((access|public|link|processor|user|assets)-(sandbox|production|development)-)[\w-]*/gi,
      "$1***",
    ),
  );
}
