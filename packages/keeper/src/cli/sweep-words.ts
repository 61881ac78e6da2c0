// Sweeps in words: their failures, what came of them and what is to be done; as exhaustive as sentences.ts.

import type { SweepOperation } from "../database/schema.ts";
import type { SweepAdvice } from "../sweep/fate.ts";
import type { Finding, Sweep, SweepFailure, SweepStatus } from "../sweep/sweep.ts";
import { Stop, type Ending } from "./exits.ts";
import { sentence, type Sentence } from "./sentences.ts";

export function sweepSaid(failure: SweepFailure): Sentence {
  switch (failure.kind) {
    case "unknown-sweep":
      return {
        ending: "unknown",
        text: `there is no sweep ${failure.sweep_id} in this environment; \`sett sweep list\` shows those there are`,
      };
    case "wrong-state":
      return {
        ending: "failed",
        text:
          failure.state === "done" || failure.state === "cancelled"
            ? `sweep ${failure.sweep_id} is over (${failure.state})`
            : `sweep ${failure.sweep_id} is not over (${failure.state}): cancel it first, or wait`,
      };
    default:
      return sentence(failure);
  }
}

/** The end of a command with a failure. */
export function stopWith(failure: SweepFailure): Stop {
  const { ending, text } = sweepSaid(failure);
  return new Stop(ending, text);
}

/** `rotate the tokens of 12 Items`. */
export function inWords(operation: SweepOperation, items: string, webhook?: string | null): string {
  switch (operation) {
    case "audit":
      return `ask Plaid about ${items}`;
    case "webhook":
      return webhook === null
        ? `take the webhooks of ${items} away`
        : webhook === undefined
          ? `put the webhooks of ${items} back`
          : `move the webhooks of ${items} to ${webhook}`;
    case "rotate":
      return `rotate the tokens of ${items}`;
    case "remove":
      return `remove ${items} for good`;
    case "reencrypt":
      return `seal the tokens of ${items} with the key in use`;
  }
}

export const someItems = (count: number): string => `${count} Item${count === 1 ? "" : "s"}`;

/** What is to be done about those that failed. */
export const adviceWords: Readonly<Record<SweepAdvice, string>> = {
  retry: "submit it once more",
  wait: "submit it once more in some hours",
  "update-mode": "the users must go through Link in update mode",
  relink: "the users must link the bank anew",
  "fix-request": "Plaid refuses the call as it is",
  "fix-credentials": "look at PLAID_CLIENT_ID, PLAID_SECRET and PLAID_ENV",
  gone: "Plaid no longer has them: remove them here too",
  investigate: "a person must look at them",
  support: "Plaid's support must help; the report has the texts",
  operator: "look at the keeper's own database, disk and keys: sett doctor",
};

export const findingWords: Readonly<Record<Finding["kind"], string>> = {
  "update-mode": "the users must go through Link in update mode",
  revoked: "the users took the permission back",
  "expires-in-7-days": "access ends within 7 days",
  "expires-in-30-days": "access ends within 30 days",
  silent: "no webhook has come for long",
  unused: "billed, and used by nobody for long",
  "stale-webhook": "the webhook is another one",
  duplicate: "the same login of the same user",
  stranded: "the token is lost; the report has the texts for Plaid's support",
};

/** `12 done, 1 skipped, 3 failed`. */
export const countsOf = ({ done, skipped, failed, waiting, unacknowledged }: SweepStatus): string =>
  [
    `${done} done`,
    ...(skipped > 0 ? [`${skipped} left alone`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(waiting > 0 ? [`${waiting} waiting`] : []),
    ...(unacknowledged > 0 ? [`${unacknowledged} not acknowledged`] : []),
  ].join(", ");

/** `3 relink, 1 retry`; empty without any. */
export const failuresOf = ({ failures }: SweepStatus): string =>
  Object.entries(failures)
    .toSorted(([, one], [, other]) => other - one)
    .map(([advice, count]) => `${count} ${advice}`)
    .join(", ");

/** How a command ends whose sweep has ended so. */
export function endingOf({ state, total, failed, failures, unacknowledged, waiting }: SweepStatus): Ending {
  if (failed > 0 && failed === total) return failures.support === failed ? "person" : "failed";
  return state === "cancelled" && waiting === total && total > 0
    ? "failed"
    : failed + waiting + unacknowledged > 0
      ? "some"
      : "done";
}

export const titleOf = ({ sweep_id, operation, rolls_back }: Sweep): string =>
  `sweep ${sweep_id} (${operation}${rolls_back === null ? "" : `, puts back sweep ${rolls_back}`})`;
