// Every failure in one sentence that says what is known and what to do, and how the command ends with it. A kind that is
// added and has no sentence here does not compile.

import { advice, describe, type Advice, type Failure, type Result } from "sett";
import type { DatabaseFailure } from "../database/failure.ts";
import type { ItemState } from "../database/schema.ts";
import type { EscrowFailure } from "../escrow/escrow.ts";
import type { ImportFailure, ImportOutcome, ImportReason } from "../lifecycle/import-many.ts";
import type { SweepFailure } from "../sweep/sweep.ts";
import type { VaultFailure } from "../vault/failure.ts";
import type { ExportFailure } from "../vault/sealed-stream.ts";
import type { RetireFailure } from "../vault/vault.ts";
import { Stop, type Ending } from "./exits.ts";
import { moment } from "./spans.ts";

export interface Sentence {
  readonly text: string;
  readonly ending: Ending;
}

const failed = (text: string): Sentence => ({ text, ending: "failed" });

/** What came of it; where that is a failure the command ends with it. */
export function orStop<Value>(result: Result<Value, SweepFailure>): Value {
  if (result.ok) return result.value;
  throw stopOf(result.error);
}

/** The same of the database alone. */
export const readOrStop = <Value>(result: Result<Value, DatabaseFailure>): Value =>
  orStop(result.ok ? result : { ok: false, error: { kind: "database", database: result.error } });

/** The end of a command with a failure. */
export function stopOf(failure: SweepFailure): Stop {
  const { ending, text } = sentence(failure);
  return new Stop(ending, text);
}

/** Of the keeper's failures, those of sweeps among them. */
export function sentence(failure: SweepFailure): Sentence {
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
    case "unknown-sweep":
      return {
        ending: "unknown",
        text: `there is no sweep ${failure.sweep_id} in this environment; \`sett sweep list\` shows those there are`,
      };
    case "wrong-state":
      return failed(
        failure.state === "done" || failure.state === "cancelled"
          ? `sweep ${failure.sweep_id} is over (${failure.state})`
          : `sweep ${failure.sweep_id} is not over (${failure.state}): cancel it first, or wait`,
      );
  }
}

/** Plaid's failure, and what to do about it. */
export function plaidSaid(failure: Failure): string {
  const given = advice(failure);
  const todo =
    given.action === "retry" ? `Try again in ${Math.ceil(given.delayMs / 1_000)} s` : todos[given.action];
  return `${describe(failure)}. ${todo}`;
}

const todos: Readonly<Record<Exclude<Advice["action"], "retry">, string>> = {
  wait: "Try again in some hours",
  "update-mode": "The user must go through Link in update mode",
  relink: "The user must link the bank anew",
  "fix-request": "What was asked cannot succeed as it is",
  "fix-credentials":
    "Look at PLAID_CLIENT_ID, PLAID_SECRET and PLAID_ENV, and at what Plaid has enabled for them",
  gone: "The Item is no more",
  investigate: "A person must look at it; Plaid's support asks for the request_id",
};

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

export const escrowSaid = ({ kind, detail }: EscrowFailure): string =>
  kind === "full"
    ? `the disk of the escrow is full: ${detail}. Make room, or set SETT_FOLDER to another disk`
    : `the escrow's folder cannot be used: ${detail}. Look at SETT_FOLDER`;

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

/** Why a row of an import came to nothing. */
export function rowSaid({ reason, failure }: Extract<ImportOutcome, { kind: "failed" }>): string {
  if (reason !== "plaid") return rowWords[reason];
  return failure === null ? "Plaid did not accept the token" : plaidSaid(failure);
}

const rowWords: Readonly<Record<Exclude<ImportReason, "plaid">, string>> = {
  "other-item": "the token is not of the Item that the row names",
  "other-environment": "the token is of Plaid's other environment: look at PLAID_ENV",
  removed: "the Item was removed here, and is not brought back",
  removing: "the Item was being removed where it was exported",
  malformed:
    "the line is no record: it has more fields than the first line names or a quote that is not closed, is not " +
    "one object of JSON, or has a token where an id should be",
  "too-long": "the line is too long, or a field of it: an id has 255 characters at most",
  "no-token": "there is no access_token in it",
  "not-text": "a field is no text, or has NUL in it",
};

export function importSaid(failure: ImportFailure): Sentence {
  switch (failure.kind) {
    case "format":
      return { text: `nothing in the file can be imported: ${failure.detail}`, ending: "usage" };
    case "other-environment":
      return {
        text: `the export is of Plaid's ${failure.environment}: set PLAID_ENV to that`,
        ending: "usage",
      };
    case "stopped": {
      const { cause } = failure;
      const why =
        cause.kind === "source"
          ? `the file could not be read on: ${cause.detail}`
          : cause.kind === "export"
            ? `the export could not be read on: ${cause.detail}`
            : sentence(cause).text;
      return {
        text: `stopped, for every other row would fail alike: ${why}. Import it again once that is right`,
        ending: failure.report.imported > 0 ? "some" : "failed",
      };
    }
  }
}

export function exportSaid(failure: ExportFailure): string {
  switch (failure.kind) {
    case "not-an-export":
      return `this is no export of sett's: ${failure.detail}`;
    case "wrong-key":
      return `it is sealed to the recipient ${failure.recipient}, and this is the key of ${failure.key}`;
    case "damaged":
      return `the export was changed on its way: ${failure.detail}`;
    case "cut-short":
      return `the export ends too early: ${failure.detail}`;
    case "source":
      return `the export could not be read: ${failure.detail}`;
  }
}

/** What to do about an Item that stands so; null where there is nothing to do. */
export const nextFor = (state: ItemState): string | null => nextWords[state];

const nextWords: Readonly<Record<ItemState, string | null>> = {
  healthy: null,
  removed: null,
  login_required: "the user must log in again: Link in update mode (the Item keeps its id and its token)",
  pending_expiration: "it still works; before the date, the user must go through Link in update mode",
  pending_disconnect: "it still works; before the date, the user must go through Link in update mode",
  revoked:
    "the user took the permission back: if they want to come back they link anew, and this Item is removed (`sett remove`)",
  new_accounts:
    "the bank shows accounts that the user has not chosen: Link in update mode with account selection",
  error: "see the error code in Plaid's documentation, https://plaid.com/docs/errors/",
  stranded:
    "its token is lost: send Plaid's support the text below, and let the user link the bank anew; once it is gone there, sett abandon",
  removing: "it is being removed; the keeper goes on until Plaid says that it is gone",
};
