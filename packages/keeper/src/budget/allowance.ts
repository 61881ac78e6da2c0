// What is sold of one endpoint's allowance, and how it is learned: a calculation without a clock and without a database.
// Sweeps buy time slots that lie evenly apart, so that no minute, whenever it begins, holds more calls than Plaid
// allows, and no bucket runs over. A 429 cuts the rate once; after a pause a single call feels its way; then the rate
// holds for a while, and doubles every few seconds that are used until it is refused again or back at its ceiling.

/** One endpoint, for all processes. Times are milliseconds of a clock that the processes share (see account.ts). */
export interface Allowance {
  /** Calls a minute now. */
  rate: number;
  /** What it may grow to. */
  ceiling: number;
  /** The part of `rate` that sweeps leave to live calls. */
  share: number;
  /** Up to when slots are sold. */
  nextAt: number;
  /** Grows with each cut: a 429 to a call of an earlier generation is no news. */
  generation: number;
  /** Nothing is sold before it; 0 when calls go out. */
  pausedUntil: number;
  /** How long the last pause was: the next one is longer. */
  pauseMs: number;
  /** When calls went out again after the last cut; 0 without one. */
  resumedAt: number;
  /** The rate grows only after it. */
  holdUntil: number;
  holdMs: number;
  /** What the rate was found to be at the last 429; 0 for none. */
  refusedRate: number;
  /** The second of the newest counts. */
  second: number;
  /** Slots, and calls that had none, by second, newest first. */
  sold: number[];
  live: number[];
}

/** Calls that were sent evenly over this much more than a minute may arrive within one: delays differ. */
const jitterMs = 600;
const windowMs = 60_000 + jitterMs;
const seconds = 60;
/** Slots are sold no further ahead: what is sold cannot be taken back when a 429 comes. */
const aheadMs = 1_000;
const blockMs = 500;
/** Pauses before a probe: short at first, and never so long that a restored allowance would go unnoticed. */
const pauses = { first: 1_500, longest: 10_000 } as const;
const holds = { first: 45_000, longest: 600_000 } as const;
/** Time sold in which the rate doubles, once it has held. */
const doublingMs = 12_000;
/** One cut goes no deeper: what was found may be a mistake. */
const deepestCut = 0.1;
const lowest = 1;

export function newAllowance(rate: number, ceiling: number, share: number): Allowance {
  return {
    rate,
    ceiling,
    share,
    nextAt: 0,
    generation: 0,
    pausedUntil: 0,
    pauseMs: 0,
    resumedAt: 0,
    holdUntil: 0,
    holdMs: 0,
    refusedRate: 0,
    second: 0,
    sold: [0],
    live: [0],
  };
}

/** Slots from `from` on; with `count` 0, when to ask again. */
export interface Block {
  readonly count: number;
  readonly from: number;
  readonly intervalMs: number;
  /** The one call that finds out whether Plaid answers again. */
  readonly probe: boolean;
  readonly retryAt: number;
}

/** Sells up to `wanted` slots, the first of them at `now` or soon after. */
export function sell(allowance: Allowance, now: number, wanted: number): Block {
  const none = (retryAt: number) => ({ count: 0, from: now, intervalMs: 0, probe: false, retryAt });
  if (allowance.pausedUntil > now) return none(allowance.pausedUntil);
  if (allowance.pausedUntil > 0) {
    // Should its answer never come, the next one is due by itself.
    allowance.pauseMs = Math.min(allowance.pauseMs * 2, pauses.longest);
    allowance.pausedUntil = now + allowance.pauseMs;
    note(allowance, "sold", now, 1);
    return { count: 1, from: now, intervalMs: 0, probe: true, retryAt: 0 };
  }
  const from = Math.max(allowance.nextAt, now);
  const backlog = from - now;
  if (backlog >= aheadMs) return none(from - aheadMs / 2);
  const used = usedBefore(allowance, from);
  const pace = Math.min(allowance.rate * (1 - allowance.share), allowance.rate - used.live);
  // After live calls took more than their share, sweeps wait until the minute has room again.
  const room = Math.floor(allowance.rate - used.live - used.sold);
  if (pace <= 0 || room < 1) return none(now + 1_000);
  const intervalMs = windowMs / pace;
  const block = Math.ceil((blockMs - backlog / 3) / intervalMs);
  const count = Math.min(wanted, Math.max(1, block), room);
  for (let slot = 0; slot < count; slot++) note(allowance, "sold", from + slot * intervalMs, 1);
  allowance.nextAt = from + count * intervalMs;
  if (now >= allowance.holdUntil && allowance.rate < allowance.ceiling)
    allowance.rate = Math.min(allowance.ceiling, allowance.rate * 2 ** ((count * intervalMs) / doublingMs));
  return { count, from, intervalMs, probe: false, retryAt: 0 };
}

/** Takes back the last `count` slots of a block, which were not used. What nobody bought after them is sold again. */
export function giveBack(allowance: Allowance, block: Block, count: number): void {
  for (let slot = block.count - count; slot < block.count; slot++)
    note(allowance, "sold", block.from + slot * block.intervalMs, -1);
  const end = block.from + block.count * block.intervalMs;
  if (Math.abs(allowance.nextAt - end) < 0.01) allowance.nextAt -= count * block.intervalMs;
}

/** Writes down calls that had no slot. Those of sweeps take the place of slots to come. */
export function debit(allowance: Allowance, now: number, calls: { live: number; sweep: number }): void {
  if (calls.live > 0) note(allowance, "live", now, calls.live);
  if (calls.sweep === 0) return;
  note(allowance, "sold", now, calls.sweep);
  const pace = Math.max(lowest, allowance.rate * (1 - allowance.share));
  allowance.nextAt = Math.max(allowance.nextAt, now) + (calls.sweep * windowMs) / pace;
}

/** Plaid refused a call of this generation, and said itself to wait for `retryMs`. */
export function refuse(allowance: Allowance, now: number, generation: number, retryMs: number): void {
  if (generation !== allowance.generation || allowance.pausedUntil > 0) {
    // Known already, or a probe.
    if (retryMs > 0) allowance.pausedUntil = Math.max(allowance.pausedUntil, now + retryMs);
    return;
  }
  const { live, sold } = usedBefore(allowance, now);
  const since = allowance.resumedAt === 0 ? Infinity : now - allowance.resumedAt;
  // What went through in the last minute is what Plaid allows, about; soon after the last cut, it is less still.
  const found = Math.min(allowance.rate, live + sold) * (since < 10_000 ? 0.5 : since < 90_000 ? 0.92 : 0.97);
  const rate = Math.max(lowest, allowance.rate * deepestCut, found);
  const again = Math.abs(rate / allowance.refusedRate - 1) < 0.1 && rate > 0.8 * allowance.ceiling;
  // At the same height as before, and little to be gained: no need to try as often.
  allowance.holdMs = again ? Math.min(allowance.holdMs * 2, holds.longest) : holds.first;
  allowance.refusedRate = rate;
  allowance.rate = rate;
  allowance.generation++;
  allowance.pauseMs = pauses.first;
  allowance.pausedUntil = now + Math.max(retryMs, pauses.first);
}

/** A call that was sent after the cut came through: calls go out again. */
export function resume(allowance: Allowance, now: number, generation: number): void {
  if (generation !== allowance.generation || allowance.pausedUntil === 0) return;
  allowance.pausedUntil = 0;
  allowance.pauseMs = 0;
  allowance.resumedAt = now;
  allowance.holdUntil = now + allowance.holdMs;
  allowance.nextAt = now;
}

/** Calls in the minute before `at`; of the oldest second, the part that is still within it. */
export function usedBefore(
  { second, sold, live }: Readonly<Allowance>,
  at: number,
): { readonly sold: number; readonly live: number } {
  const newest = second - Math.floor(at / 1_000);
  const oldest = 1 - (at % 1_000) / 1_000;
  const sum = (counts: readonly number[]) => {
    let total = 0;
    for (let index = Math.max(0, newest); index < Math.min(counts.length, newest + seconds); index++)
      total += counts[index]!;
    return total + (counts[newest + seconds] ?? 0) * oldest;
  };
  return { sold: sum(sold), live: sum(live) };
}

/** Counts calls into their second, and forgets what is older than a minute. */
function note(allowance: Allowance, which: "sold" | "live", at: number, calls: number): void {
  const second = Math.floor(at / 1_000);
  const passed = second - allowance.second;
  if (passed > 0) {
    for (const counts of [allowance.sold, allowance.live]) {
      for (let added = 0; added < Math.min(passed, seconds + 3); added++) counts.unshift(0);
      // Slots lie up to two seconds ahead.
      counts.length = Math.min(counts.length, seconds + 3);
    }
    allowance.second = second;
  }
  const counts = allowance[which];
  const index = allowance.second - second;
  if (index < counts.length) counts[index] = Math.max(0, counts[index]! + calls);
}
