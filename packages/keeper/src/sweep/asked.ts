// What a caller asks of a sweep, in the one form that it has: checked before anything is written, so that what is misspelt,
// forgotten or impossible is a TypeError, and never a sweep over more than was meant.

import { boolean, callback, type FieldsOf, type Kind } from "sett/kinds";
import type { SweepOperation } from "../database/schema.ts";
import { refuseUnlessReason, refuseUnlessUrl } from "../lifecycle/acts.ts";
import { anything, refuseUnfit } from "../lifecycle/known.ts";
import { selectionFrom, type Selection } from "../lifecycle/selection.ts";
import { longestNote, textOrNull } from "../lifecycle/texts.ts";
import type { Parameters } from "./rows.ts";
import type { SweepOptions, SweepOrder } from "./sweep.ts";

const usualShard = 500;
const usualAcknowledgeMs = 3_600_000;
const usualSilentMs = 7 * 24 * 3_600_000;
const usualUnusedMs = 60 * 24 * 3_600_000;

const operations: Readonly<Record<SweepOperation, true>> = {
  audit: true,
  webhook: true,
  rotate: true,
  remove: true,
  reencrypt: true,
};

/** What may be asked for, in SQL. */
export const orders: Readonly<Record<SweepOrder, string>> = {
  item_id: "items.item_id",
  oldest: "items.token_at, items.item_id",
  institution: "items.institution_id, items.item_id",
  riskiest:
    "case when items.state = 'healthy' then 1 else 0 end, case when items.token_version = 1 then 0 else 1 end, " +
    "items.token_at, items.item_id",
};

type Given = SweepOptions & { readonly dryRun?: boolean | undefined };

/** Kept as JSON, which has no Infinity. */
const span: Kind = {
  expected: "a whole number of milliseconds from 0, and not without end",
  accepts: (value) => Number.isInteger(value) && (value as number) >= 0,
};

const fields: FieldsOf<Given> = {
  "selection?": anything,
  "order?": anything,
  "webhook?": anything,
  "reason?": anything,
  "note?": anything,
  "acknowledgeWithinMs?": span,
  "silentAfterMs?": span,
  "unusedAfterMs?": span,
  "shardSize?": {
    expected: "a whole number above 0",
    accepts: (value) => Number.isSafeInteger(value) && (value as number) > 0,
  },
  "onDone?": callback,
  "dryRun?": boolean,
};

/** How a sweep is to be, with what was left out. */
export interface Asked {
  readonly selection: Selection;
  readonly order: SweepOrder;
  readonly parameters: Parameters;
  readonly note: string | null;
  readonly shardSize: number;
}

export function askedOf(operation: SweepOperation, given: Given): Asked {
  if (!Object.hasOwn(operations, operation))
    throw new TypeError(`the operation must be ${anyOf(operations)}`);
  refuseUnfit("a sweep", given, fields);
  const { order = "item_id", note, shardSize = usualShard } = given;
  if (!Object.hasOwn(orders, order)) throw new TypeError(`the order must be ${anyOf(orders)}`);
  return {
    // One that is there and undefined is a mistake that would select everything.
    selection: selectionFrom("selection" in given ? given.selection : {}),
    order,
    parameters: parametersFrom(operation, given),
    note: textOrNull("note", note, longestNote),
    shardSize,
  };
}

function parametersFrom(operation: SweepOperation, given: SweepOptions): Parameters {
  const { webhook, reason } = given;
  if (operation === "webhook" && webhook === undefined)
    throw new TypeError("a sweep of webhooks needs a `webhook`: a URL, or null to take them away");
  if (webhook !== undefined && operation !== "webhook" && operation !== "audit")
    throw new TypeError("`webhook` is for sweeps of webhooks, and for audits");
  if (webhook !== undefined) refuseUnlessUrl(webhook);
  if (reason !== undefined && operation !== "remove") throw new TypeError("`reason` is for removals");
  refuseUnlessReason(reason);
  return {
    ...(webhook !== undefined && { webhook }),
    ...(reason !== undefined && { reason }),
    acknowledgeWithinMs: given.acknowledgeWithinMs ?? usualAcknowledgeMs,
    silentAfterMs: given.silentAfterMs ?? usualSilentMs,
    unusedAfterMs: given.unusedAfterMs ?? usualUnusedMs,
  };
}

/** `a, b or c`. */
const anyOf = (names: object): string =>
  Object.keys(names)
    .join(", ")
    .replace(/, (?=\w+$)/, " or ");
