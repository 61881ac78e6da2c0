// What a caller asks of a sweep, in the one form that it has: checked before anything is written, so that what is misspelt,
// forgotten or impossible is a TypeError, and never a sweep over more than was meant.

import type { SweepOperation } from "../database/schema.ts";
import { refuseUnlessReason, refuseUnlessUrl } from "../lifecycle/acts.ts";
import { refuseUnknown } from "../lifecycle/known.ts";
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

const orders: Readonly<Record<SweepOrder, true>> = {
  item_id: true,
  oldest: true,
  institution: true,
  riskiest: true,
};

const options: Readonly<Record<keyof SweepOptions | "dryRun", true>> = {
  selection: true,
  order: true,
  webhook: true,
  reason: true,
  note: true,
  acknowledgeWithinMs: true,
  silentAfterMs: true,
  unusedAfterMs: true,
  shardSize: true,
  onDone: true,
  dryRun: true,
};

/** How a sweep is to be, with what was left out. */
export interface Asked {
  readonly selection: Selection;
  readonly order: SweepOrder;
  readonly parameters: Parameters;
  readonly note: string | null;
  readonly shardSize: number;
}

export function askedOf(
  operation: SweepOperation,
  given: SweepOptions & { readonly dryRun?: boolean | undefined },
): Asked {
  if (!Object.hasOwn(operations, operation))
    throw new TypeError(`the operation must be ${anyOf(operations)}`);
  refuseUnknown("a sweep", given, Object.keys(options));
  const { order = "item_id", note, shardSize = usualShard, onDone, dryRun = false } = given;
  if (!Object.hasOwn(orders, order)) throw new TypeError(`the order must be ${anyOf(orders)}`);
  if (!(Number.isSafeInteger(shardSize) && shardSize > 0))
    throw new TypeError("shardSize must be a whole number above 0");
  if (typeof dryRun !== "boolean") throw new TypeError("dryRun must be a boolean");
  if (onDone !== undefined && typeof onDone !== "function") throw new TypeError("onDone must be a function");
  // One that is there and undefined is a mistake that would select everything.
  const selection = selectionFrom("selection" in given ? given.selection : {});
  return {
    selection,
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
  const {
    acknowledgeWithinMs = usualAcknowledgeMs,
    silentAfterMs = usualSilentMs,
    unusedAfterMs = usualUnusedMs,
  } = given;
  return {
    ...(webhook !== undefined && { webhook }),
    ...(reason !== undefined && { reason }),
    acknowledgeWithinMs: spanOf("acknowledgeWithinMs", acknowledgeWithinMs),
    silentAfterMs: spanOf("silentAfterMs", silentAfterMs),
    unusedAfterMs: spanOf("unusedAfterMs", unusedAfterMs),
  };
}

/** Kept as JSON, which has no Infinity. */
function spanOf(name: string, ms: number): number {
  if (Number.isInteger(ms) && ms >= 0) return ms;
  throw new TypeError(`${name} must be a whole number of milliseconds from 0, and not without end`);
}

/** `a, b or c`. */
const anyOf = (names: object): string =>
  Object.keys(names)
    .join(", ")
    .replace(/, (?=\w+$)/, " or ");
