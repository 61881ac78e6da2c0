// Sweeps in words: what is asked for, what came of it and what is to be done. Their failures are in sentences.ts.

import type { SweepOperation } from "../database/schema.ts";
import type { SweepAdvice } from "../sweep/fate.ts";
import type { Finding, Sweep, SweepStatus } from "../sweep/sweep.ts";
import type { Ending } from "./exits.ts";

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
