// Why the keeper did not do what was asked, sorted by what is now known and by who must act. Plain data without a token;
// printing it is always safe.

import type { Failure } from "sett";
import type { DatabaseFailure } from "../database/failure.ts";
import type { EscrowFailure } from "../escrow/escrow.ts";
import type { VaultFailure } from "../vault/failure.ts";

/** A failure of the keeper's, as data. */
export type KeeperFailure =
  /** Plaid or the network said no, and nothing happened. `failure` is sett's. */
  | { readonly kind: "plaid"; readonly item_id: string | null; readonly failure: Failure }
  /**
   * It was begun, and how it went is not known yet, or it is still to be done: an intent is open, and `recover` (or
   * whoever next works on the Item) finishes it. Do not ask again.
   */
  | {
      readonly kind: "unfinished";
      readonly item_id: string | null;
      readonly intent_id: string;
      /** What stood in the way; null when another process took over. */
      readonly cause: Failure | DatabaseFailure | null;
    }
  /**
   * Plaid did it, and the new token is kept in the escrow (or, if the disk failed too, in this process's memory), for
   * the database did not take it. `recover` brings it in.
   */
  | {
      readonly kind: "pending";
      readonly item_id: string;
      readonly intent_id: string;
      readonly kept: "escrow" | "memory";
      readonly cause: KeeperFailure;
      readonly escrow: EscrowFailure | null;
    }
  /** The token died and nobody has the new one. The Item lives and is billed; only Plaid's support or the user can help. */
  | ({ readonly kind: "stranded"; readonly item_id: string } & ForSupport)
  /** A public token may have become an Item whose token nobody has. */
  | ({ readonly kind: "lost"; readonly intent_id: string } & ForSupport)
  /** The same user has this login already; the public token was not spent. */
  | { readonly kind: "duplicate"; readonly of: readonly string[] }
  /** The user cannot be forgotten: these are not removed, or (without an id) still being linked. */
  | { readonly kind: "live-items"; readonly items: readonly (string | null)[] }
  | { readonly kind: "unknown-item"; readonly item_id: string }
  | { readonly kind: "removing"; readonly item_id: string }
  | { readonly kind: "removed"; readonly item_id: string }
  /** Only an Item that is stranded may be given up; others can be removed. */
  | { readonly kind: "not-stranded"; readonly item_id: string }
  /** The token to be replaced has been replaced already. */
  | { readonly kind: "rotated"; readonly item_id: string }
  /** Others have worked on the Item for longer than one is willing to wait. */
  | { readonly kind: "busy"; readonly item_id: string }
  | { readonly kind: "database"; readonly database: DatabaseFailure }
  | { readonly kind: "vault"; readonly vault: VaultFailure }
  | { readonly kind: "escrow"; readonly escrow: EscrowFailure };

/** What a person sends to Plaid's support. */
export interface ForSupport {
  /** Of Plaid's last answer about it; null when no answer ever came. */
  readonly request_id: string | null;
  readonly support: string;
}

/** What is known of how an Item came to be stranded. */
export interface Stranding {
  /** Of Plaid's last answer about it. */
  readonly request_id: string | null;
  /** When the new token was asked for, or else when the one there is was refused; null where that is not known. */
  readonly at: number | null;
  /** Whether a new token was asked for and no answer came. */
  readonly lost: boolean;
}

/** For an Item whose token is refused, and nobody has another. */
export const strandedFor = (
  itemId: string,
  { request_id, at, lost }: Stranding = { request_id: null, at: null, lost: false },
): { kind: "stranded"; item_id: string } & ForSupport => {
  const when = at === null ? "" : ` at about ${new Date(at).toISOString()}`;
  const named = request_id === null ? "" : ` (request_id ${request_id})`;
  const what = lost
    ? `the answer of /item/access_token/invalidate${when} did not reach us, and the access token from before it is refused${named}`
    : `the access token that we have is refused${when}${named}, and we were never given another`;
  const support = `Item ${itemId}: ${what}. Please remove the Item, or tell us how to reach it. The user can link the bank again meanwhile.`;
  return { kind: "stranded", item_id: itemId, request_id, support };
};

/** For a public token whose exchange was lost. */
export const lostFor = (
  intentId: string,
  requestId: string | null,
  at: number,
): { kind: "lost"; intent_id: string } & ForSupport => ({
  kind: "lost",
  intent_id: intentId,
  request_id: requestId,
  support:
    `The answer of /item/public_token/exchange at about ${new Date(at).toISOString()} did not reach us` +
    (requestId === null ? "" : ` (request_id ${requestId} refused the second attempt)`) +
    `. If it made an Item, please remove that. The user can link the bank again meanwhile.`,
});

/** What Plaid's support asks for first, where the failure has it. */
export const requestIdOf = (failure: Failure): string | null =>
  failure.kind === "refused" ? failure.request_id : null;

/** Plaid's error code, where Plaid refused. */
export const refusedWith = (failure: Failure): string | null =>
  failure.kind === "refused" ? failure.error.error_code : null;

/**
 * Whether Plaid's error code may be that of a token that was rotated away. Which of the two such a token gets, nobody
 * outside Plaid has verified; both may mean other things as well.
 */
export const saysDeadToken = (code: string | null | undefined): boolean =>
  code === "INVALID_ACCESS_TOKEN" || code === "ITEM_NOT_FOUND";
