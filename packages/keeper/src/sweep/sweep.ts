// The words of sweeps: what may be asked, and how a sweep looks from outside.

import type { Item as Items, Result } from "sett";
import { itemAccessTokenInvalidate, itemGet, itemRemove, itemWebhookUpdate } from "sett/endpoints";
import type { SweepOperation, SweepState } from "../database/schema.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { ItemView } from "../lifecycle/ledger.ts";
import type { Selection } from "../lifecycle/selection.ts";
import type { SweepAdvice } from "./fate.ts";

/**
 * Which Items come first: by `item_id`; `oldest` token first; `institution` after institution; or `riskiest`: those whose
 * login is not healthy, then those whose token was never rotated, then the oldest.
 */
export type SweepOrder = "item_id" | "oldest" | "institution" | "riskiest";

/** What each operation calls of Plaid's; `reencrypt` calls nothing. */
export const pathOf: Readonly<Partial<Record<SweepOperation, string>>> = {
  audit: itemGet.path,
  webhook: itemWebhookUpdate.path,
  rotate: itemAccessTokenInvalidate.path,
  remove: itemRemove.path,
};

/** How a sweep is to be. */
export interface SweepOptions {
  /** The Items as they are at this moment, as in `keeper.list`; every Item that is not removed unless told. */
  readonly selection?: Selection;
  readonly order?: SweepOrder | undefined;
  /** `webhook`: where to, or null to take it away. `audit`: what the webhook should be. */
  readonly webhook?: string | null | undefined;
  /** `remove`: for Plaid's records. */
  readonly reason?: Items.RemoveReason | undefined;
  /** For people, in at most 512 characters. */
  readonly note?: string | undefined;
  /** `webhook`: how long Plaid may take to acknowledge at the new address, in milliseconds; an hour unless told. */
  readonly acknowledgeWithinMs?: number | undefined;
  /** `audit`: after how long without a webhook an Item counts as silent, in milliseconds; 7 days unless told. */
  readonly silentAfterMs?: number | undefined;
  /** `audit`: after how long without a `use` an Item that Plaid bills counts as unused, in milliseconds; 60 days unless told. */
  readonly unusedAfterMs?: number | undefined;
  /** Items to a shard, which is what one worker has at a time; 500 unless told. */
  readonly shardSize?: number | undefined;
  /** Called once when the sweep is over, while this keeper is open; what it throws goes to `onProblem`. The history has it as `sweep.done` or `sweep.cancelled`. */
  readonly onDone?: ((status: SweepStatus) => unknown) | undefined;
}

/** A sweep. Times are milliseconds since 1970. */
export interface Sweep {
  readonly sweep_id: number;
  readonly operation: SweepOperation;
  readonly state: SweepState;
  readonly order: SweepOrder;
  readonly selection: Selection;
  readonly note: string | null;
  /** The sweep whose webhooks this one puts back. */
  readonly rolls_back: number | null;
  /** How many Items. */
  readonly total: number;
  readonly submitted_at: number;
  readonly begun_at: number | null;
  /** Done or cancelled. */
  readonly ended_at: number | null;
}

/** What `keeper.sweep` gives. */
export interface Submitted extends Sweep {
  /** Such a sweep was under way already, and this is it. */
  readonly again: boolean;
}

export interface SweepStatus extends Sweep {
  readonly done: number;
  /** Left alone: removed or changed by others meanwhile, or as wanted already. */
  readonly skipped: number;
  readonly failed: number;
  /** Not settled yet. */
  readonly waiting: number;
  /** Of webhooks that were moved: those that Plaid has not acknowledged at the new address, as of the last look. */
  readonly unacknowledged: number;
  /** Those that failed, by what is to be done about them. */
  readonly failures: Partial<Record<SweepAdvice, number>>;
  /** What an audit found, and on how many Items. */
  readonly findings: Partial<Record<Finding["kind"], number>>;
  /** Items settled in a second: of late if this keeper was asked before, else since the beginning. Null when none are. */
  readonly ratePerSecond: number | null;
  /** Until the last Item, at that rate, in milliseconds; null where nothing can be said. */
  readonly etaMs: number | null;
}

/** What a sweep would be. */
export interface DryRun {
  readonly operation: SweepOperation;
  readonly total: number;
  readonly states: Partial<Record<ItemView["state"], number>>;
  /** How long the calls take with the budget as it is, in milliseconds; null where no limit is known. */
  readonly estimateMs: number | null;
  /** The first ten, in order. */
  readonly first: readonly ItemView[];
}

/** What an audit says of an Item. */
export type Finding =
  /** The user has to go through Link in update mode. */
  | { readonly kind: "update-mode"; readonly error_code: string | null }
  | { readonly kind: "revoked"; readonly error_code: string | null }
  /** Consent or connection ends within so many days. */
  | { readonly kind: "expires-in-7-days" | "expires-in-30-days"; readonly at: number }
  /** No webhook has come for long; `last_webhook_at` is null where none ever came. */
  | { readonly kind: "silent"; readonly last_webhook_at: number | null }
  /** Plaid bills these products, and for long nobody has used the Item; `used_at` is null where nobody ever has. */
  | { readonly kind: "unused"; readonly billed: readonly string[]; readonly used_at: number | null }
  | { readonly kind: "stale-webhook"; readonly webhook: string | null }
  /** The same login of the same user. */
  | { readonly kind: "duplicate"; readonly of: readonly string[] }
  | { readonly kind: "stranded"; readonly support: string };

/** Why a sweep is not, or not so. */
export type SweepFailure =
  | KeeperFailure
  | { readonly kind: "unknown-sweep"; readonly sweep_id: number }
  /** It is in a state in which this cannot be; of `rollback` also while calls of a cancelled one are out. */
  | { readonly kind: "wrong-state"; readonly sweep_id: number; readonly state: SweepState };

export type Outcome<Value> = Promise<Result<Value, SweepFailure>>;
