// What holds for an endpoint: what a program starts with, what is set by hand for all processes, and how a row that was
// made under other terms follows these.

import type { Kept } from "./account.ts";
import { newAllowance } from "./allowance.ts";

/** What one program's endpoint has when nothing is set. */
export interface Terms {
  /** Calls a minute to start with, and what they may grow to; "off" for no budget at all. */
  readonly limit: { readonly perMinute: number; readonly ceiling: number } | "off";
  /** What is kept free for live calls. */
  readonly share: number;
}

/** A row that nobody has used. */
export function newKept({ limit, share }: Terms): Kept {
  const { perMinute, ceiling } = limit === "off" ? { perMinute: 0, ceiling: 0 } : limit;
  return { allowance: newAllowance(perMinute, ceiling, share), set: { perMinute: null, share: null } };
}

/** Sets by hand; what is left out stays. */
export function change({ allowance, set }: Kept, changed: Partial<Kept["set"]>, { limit }: Terms): void {
  Object.assign(set, changed);
  if (changed.perMinute === undefined) return; // What was learned stays.
  if (typeof set.perMinute === "number") allowance.rate = allowance.ceiling = set.perMinute;
  else if (limit === "off") return;
  else [allowance.rate, allowance.ceiling] = [limit.perMinute, limit.ceiling];
  Object.assign(allowance, { pausedUntil: 0, pauseMs: 0, holdUntil: 0, refusedRate: 0, nextAt: 0 });
}

/** Other terms than those that the row was made with: a new version, or other options. */
export function follow({ allowance, set }: Kept, { limit, share }: Terms): void {
  allowance.share = set.share ?? share;
  if (limit === "off" || set.perMinute !== null || allowance.ceiling === limit.ceiling) return;
  const atCeiling = allowance.rate >= allowance.ceiling;
  allowance.rate = atCeiling ? limit.ceiling : Math.min(allowance.rate, limit.ceiling);
  allowance.ceiling = limit.ceiling;
}
