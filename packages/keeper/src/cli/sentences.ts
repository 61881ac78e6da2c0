// Every failure of the keeper's in one sentence that says what is known and what to do, and how the command ends with it.
// A kind that is added and has no sentence here does not compile.

import { advice, describe, type Advice, type Failure } from "sett";
import type { DatabaseFailure } from "../database/failure.ts";
import type { ItemState } from "../database/schema.ts";
import type { EscrowFailure } from "../escrow/escrow.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { VaultFailure } from "../vault/failure.ts";
import type { RetireFailure } from "../vault/vault.ts";
import { Stop, type Ending } from "./exits.ts";
import { moment } from "./spans.ts";

export interface Sentence {
  readonly text: string;
  readonly ending: Ending;
}

const failed = (text: string): Sentence => ({ text, ending: "failed" });

/** The end of a command with a failure. */
export function stopOf(failure: KeeperFailure): Stop {
  const { ending, text } = sentence(failure);
  return new Stop(ending, text);
}

export function sentence(failure: KeeperFailure): Sentence {
  switch (failure.kind) {
    case "plaid":
      return failed(plaidSaid(failure.failure));
    case "unfinished":
      return {
        ending: "unfinished",
        text:
          `${failure.item_id ?? "the exchange"}: begun and not finished` +
          (failure.cause === null
            ? ", for another process has taken it over"
            : ` (${"committed" in failure.cause ? databaseSaid(failure.cause) : describe(failure.cause)})`) +
          `; do not ask again, the keeper finishes it (intent ${failure.intent_id}, \`sett doctor\` shows what is open)`,
      };
    case "pending":
      return {
        ending: "unfinished",
        text:
          `${failure.item_id}: Plaid did it, and the new token is ` +
          (failure.kept === "escrow"
            ? "safe in the escrow"
            : "in this process's memory alone, for the escrow did not take it: do not end it") +
          `, but not in the database yet: ${sentence(failure.cause).text}. \`sett worker --until-idle\` brings it in, and so does the next command that changes something`,
      };
    case "stranded":
    case "lost":
      return {
        ending: "person",
        text:
          (failure.kind === "stranded"
            ? `${failure.item_id} is stranded: its token died and nobody has the new one.`
            : "the exchange's answer is lost: the public token may have become an Item whose token nobody has.") +
          ` To Plaid's support: "${failure.support}"`,
      };
    case "duplicate":
      return failed(
        `this user has this login already (${failure.of.join(", ")}); the public token was not spent. Remove the other ` +
          `one first, or link all the same with --allow-duplicate`,
      );
    case "live-items":
      return failed(
        `the user still has Items that are not removed: ${failure.items.map((item) => item ?? "one that is being linked").join(", ")}. Remove them first`,
      );
    case "unknown-item":
      return {
        ending: "unknown",
        text: `the keeper has no Item ${failure.item_id} in this environment; \`sett items\` lists those it has`,
      };
    case "removing":
      return failed(`${failure.item_id} is being removed`);
    case "removed":
      return failed(`${failure.item_id} is removed`);
    case "not-stranded":
      return failed(`${failure.item_id} is not stranded, so it need not be given up: remove it`);
    case "rotated":
      return failed(`${failure.item_id}: the token that was to be replaced has been replaced already`);
    case "busy":
      return failed(`${failure.item_id}: others have been at it for too long; ask again later`);
    case "database":
      return {
        text: databaseSaid(failure.database),
        ending: failure.database.committed === "unknown" ? "unfinished" : "failed",
      };
    case "vault":
      return failed(vaultSaid(failure.vault));
    case "escrow":
      return failed(escrowSaid(failure.escrow));
  }
}

/** Plaid's failure, and what to do about it. */
export const plaidSaid = (failure: Failure): string => `${describe(failure)}. ${adviceText(advice(failure))}`;

function adviceText(given: Advice): string {
  switch (given.action) {
    case "retry":
      return `Try again in ${Math.ceil(given.delayMs / 1_000)} s`;
    case "wait":
      return `Try again in some hours`;
    case "update-mode":
      return "The user must go through Link in update mode";
    case "relink":
      return "The user must link the bank anew";
    case "fix-request":
      return "What was asked cannot succeed as it is";
    case "fix-credentials":
      return "Look at PLAID_CLIENT_ID, PLAID_SECRET and PLAID_ENV, and at what Plaid has enabled for them";
    case "gone":
      return "The Item is no more";
    case "investigate":
      return "A person must look at it; Plaid's support asks for the request_id";
  }
}

export function databaseSaid({ kind, detail, code }: DatabaseFailure): string {
  const said = detail + (code === null || detail.includes(code) ? "" : ` (${code})`);
  switch (kind) {
    case "unavailable":
      return `the database is not to be reached: ${said}. Look at SETT_DATABASE and at the server`;
    case "busy":
      return `the database is held by others for too long: ${said}. Try again`;
    case "full":
      return `the database's disk is full: ${said}. Make room`;
    case "constraint":
      return `the database refused it by a rule of its schema: ${said}`;
    case "damaged":
      return `the database is damaged: ${said}. Stop everything that writes to it and restore a backup`;
    case "not-durable":
      return `the database could lose what it acknowledges: ${said}. Set it right, nothing was begun`;
    case "newer-schema":
    case "changed-schema":
      return `the database belongs to another version of sett: ${said}`;
    case "refused":
      return `the database refused it: ${said}`;
  }
}

export function vaultSaid(failure: VaultFailure): string {
  const { kind, detail } = failure;
  switch (kind) {
    case "wrong-key":
      return `the key ring has not the key that this was sealed under: ${detail}. Nothing is lost: give SETT_KEYS or SETT_KEY_FILE that key as well`;
    case "damaged":
      return failure.what === "key"
        ? `a data key is damaged: ${detail}. Restore the table \`keys\` from a backup`
        : `a secret in the database is damaged: ${detail}. Restore its row from a backup, or link the bank anew`;
    case "swapped":
      return `a secret in the database was moved: ${detail}. Find out who writes to the database`;
    case "unknown-key":
      return `a data key is not in the database: ${detail}. Restore the table \`keys\` from a backup`;
    case "keys-unavailable":
      return `the data keys are not to be had: ${failure.database ? databaseSaid(failure.database) : detail}. Try again`;
  }
}

export function escrowSaid({ kind, detail }: EscrowFailure): string {
  switch (kind) {
    case "full":
      return `the disk of the escrow is full: ${detail}. Make room, or set SETT_FOLDER to another disk`;
    case "unavailable":
      return `the escrow's folder cannot be used: ${detail}. Look at SETT_FOLDER`;
  }
}

export function retireSaid(failure: RetireFailure): Sentence {
  switch (failure.kind) {
    case "in-use":
      return failed(
        `${failure.key_id} is in use by ${failure.items} Items and ${failure.others} other rows: \`sett keys reencrypt\` first`,
      );
    case "still-open":
      return failed(`${failure.key_id} is in use for sealing: \`sett keys rotate\` first`);
    case "too-soon":
      return failed(
        `${failure.key_id} may be retired from ${moment(failure.notBefore)} on, when no process can be writing with it`,
      );
    case "unknown-key":
      return {
        ending: "unknown",
        text: `there is no data key ${failure.key_id}; \`sett keys list\` shows those there are`,
      };
    case "database":
      return failed(databaseSaid(failure.database));
  }
}

/** What to do about an Item that stands so; null where there is nothing to do. */
export function nextFor(state: ItemState): string | null {
  switch (state) {
    case "healthy":
    case "removed":
      return null;
    case "login_required":
      return "the user must log in again: Link in update mode (the Item keeps its id and its token)";
    case "pending_expiration":
    case "pending_disconnect":
      return "it still works; before the date, the user must go through Link in update mode";
    case "revoked":
      return "the user took the permission back: if they want to come back they link anew, and this Item is removed (`sett remove`)";
    case "new_accounts":
      return "the bank shows accounts that the user has not chosen: Link in update mode with account selection";
    case "error":
      return "see the error code in Plaid's documentation, https://plaid.com/docs/errors/";
    case "stranded":
      return "its token is lost: send Plaid's support the text below, and let the user link the bank anew; once it is gone there, sett abandon";
    case "removing":
      return "it is being removed; the keeper goes on until Plaid says that it is gone";
  }
}
