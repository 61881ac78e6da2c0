// What came of some Items of a shard, written down in one transaction with what was done to them, under the shard's
// fence: a worker that has lost its lease writes nothing.

import { err, ok, type Result } from "sett";
import { sql as raw } from "kysely";
import type { Budget } from "../budget/budget.ts";
import type { Sql } from "../database/connection.ts";
import type { Column } from "../database/differences.ts";
import { holdLease, releaseLease, type Lease } from "../database/leases.ts";
import type { ItemState, SweepOutcome } from "../database/schema.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { addEvent } from "../lifecycle/ledger.ts";
import { databaseFailed, transact, type Means } from "../lifecycle/means.ts";
import { fateOf } from "./fate.ts";
import {
  isOver,
  lockSweep,
  type Parameters,
  type ShardRow,
  type SweepItemRow,
  type SweepRow,
} from "./rows.ts";

/** A shard that this process works on. */
export interface Held {
  readonly sweep: SweepRow;
  readonly parameters: Parameters;
  readonly shard: ShardRow;
  lease: Lease;
  /** Aborts when the sweep is paused or cancelled, the lease is lost, or the worker stops: then nothing new is begun. */
  readonly signal: AbortSignal;
  /** `shards.tally`; this process alone writes it. */
  readonly tally: Record<string, number>;
  /** Called every second. */
  tick: () => void;
}

/** An Item to be worked on: as it was frozen, and as it is. */
export interface Entry extends SweepItemRow {
  /** Null for an Item that is not there any more. */
  readonly now: {
    readonly state: ItemState;
    readonly token_version: number;
    readonly webhook: string | null;
    readonly institution_id: string | null;
    readonly checked_at: number | null;
  } | null;
}

/** What came of one Item. */
export interface Ended {
  readonly entry: Entry;
  readonly outcome: SweepOutcome;
  readonly attempt: number;
  /** When it is tried again. */
  readonly due_at?: number;
  readonly result?: object;
  readonly request_id?: string | null;
  /** For `shards.tally`. */
  readonly tally?: readonly string[];
}

/** Before the kind of a finding in a tally, where failures stand by their advice. */
export const findingPrefix = "found ";

export const done = (
  entry: Entry,
  request_id: string | null = null,
  attempt: number = entry.attempt + 1,
): Ended => ({ entry, outcome: "done", attempt, request_id });

/** Left alone, and why. */
export const skipped = (entry: Entry, why: string, attempt: number = entry.attempt): Ended => ({
  entry,
  outcome: "skipped",
  attempt,
  result: { why },
});

/** How often an Item is tried, and how long one waits in between: each time three times as long, at most ten minutes. */
export interface Patience {
  readonly attempts: number;
  readonly pauseMs: number;
}
const longestPauseMs = 10 * 60_000;

interface Terms {
  readonly means: Pick<Means, "now">;
  readonly budget: Pick<Budget, "refused">;
  readonly patience: Patience;
}

/** What a failure makes of its Item: tried again later, or failed. */
export function failed(
  { means, budget, patience }: Terms,
  entry: Entry,
  failure: KeeperFailure,
  attempt: number = entry.attempt + 1,
): Ended {
  const { then, advice, delayMs } = fateOf(failure);
  const said =
    failure.kind === "plaid" ? failure.failure : failure.kind === "unfinished" ? failure.cause : null;
  const request_id = said?.kind === "refused" && "request_id" in said ? said.request_id : null;
  noteLimit(budget, entry, failure);
  if (then === "leave") return skipped(entry, failure.kind, attempt);
  if (then === "again" && attempt < patience.attempts) {
    const pause = Math.min(patience.pauseMs * 3 ** (attempt - 1), longestPauseMs);
    const due_at = means.now() + Math.max(pause, Math.min(delayMs, longestPauseMs));
    return { entry, outcome: "unfinished", attempt, due_at, result: failure, request_id };
  }
  return { entry, outcome: "failed", attempt, result: failure, request_id, tally: [advice] };
}

/** Tells the budget of an Item or an institution that is over its own limit. */
function noteLimit(budget: Pick<Budget, "refused">, entry: Entry, failure: KeeperFailure): void {
  const refused = failure.kind === "plaid" ? failure.failure : undefined;
  if (refused?.kind !== "refused" || refused.status !== 429) return;
  const about = { itemId: entry.item_id, institutionId: entry.now?.institution_id };
  budget.refused(refused.path, refused.error.error_code, about);
}

const isSettled = ({ outcome }: Ended): boolean =>
  outcome === "done" || outcome === "skipped" || outcome === "failed";

/** Some hundred Items of which an audit has news take a while. */
const settleMs = 30_000;

/** Writes outcomes and the shard's counts. `lost`: somebody else has the shard by now, and nothing was written. */
export async function settle(
  means: Means,
  held: Held,
  ended: readonly Ended[],
  also: (sql: Sql) => Promise<readonly Ended[]> | undefined = () => undefined,
): Promise<Result<undefined, KeeperFailure | { readonly kind: "lost" }>> {
  const { sweep_id, number } = held.shard;
  let tally: Record<string, number> = {};
  const written = await means.database.transaction<undefined, { readonly kind: "lost" }>(
    async (sql) => {
      if (!(await holdLease(sql, held.lease))) return err({ kind: "lost" });
      const ends = (await also(sql)) ?? ended;
      tally = { ...held.tally }; // the work may be done again
      for (const { tally: kinds = [] } of ends)
        for (const kind of kinds) tally[kind] = (tally[kind] ?? 0) + 1;
      const count = (outcome: SweepOutcome) => ends.filter((one) => one.outcome === outcome).length;
      const moved = held.sweep.operation === "webhook" && count("done") > 0;
      await Promise.all([
        writeItems(means, sql, sweep_id, ends),
        sql
          .updateTable("shards")
          .set((row) => ({
            done: row("done", "+", count("done")),
            skipped: row("skipped", "+", count("skipped")),
            failed: row("failed", "+", count("failed")),
            tally: JSON.stringify(tally),
            ...(moved && { moved_at: means.now() }),
          }))
          .where("sweep_id", "=", sweep_id)
          .where("number", "=", number)
          .execute(),
      ]);
      return ok(undefined);
    },
    { patienceMs: settleMs },
  );
  if (written.ok) {
    Object.assign(held.tally, tally);
    return written;
  }
  return err("committed" in written.error ? databaseFailed(written.error) : written.error);
}

const integer = <Value extends number | null>(values: readonly Value[]) => ({
  kind: "integer" as const,
  values,
});
const text = <Value extends string | null>(values: readonly Value[]) => ({ kind: "text" as const, values });

/**
 * Rows of a sweep that are to be changed, as `came` has them. By their whole key: with the sweep's number as a constant either
 * database may go through all of it for each.
 */
const rowsAs = <More extends Record<string, Column<unknown>>>(
  { database }: Pick<Means, "database">,
  sql: Sql,
  sweepId: number,
  positions: readonly number[],
  more: More,
) => {
  const keys = { sweep_id: integer(positions.map(() => sweepId)), position: integer(positions) };
  return sql
    .updateTable("sweep_items")
    .from(database.differences.rows("came", { ...more, ...keys }))
    .where(raw<boolean>`sweep_items.sweep_id = came.sweep_id and sweep_items.position = came.position`);
};

async function writeItems(means: Means, sql: Sql, sweepId: number, ended: readonly Ended[]): Promise<void> {
  if (ended.length === 0) return;
  const at = means.now();
  const positions = ended.map(({ entry }) => entry.position);
  await rowsAs(means, sql, sweepId, positions, {
    outcome: text(ended.map(({ outcome }) => outcome)),
    attempt: integer(ended.map(({ attempt }) => attempt)),
    due_at: integer(ended.map(({ due_at = 0 }) => due_at)),
    result: text(ended.map(({ result }) => (result === undefined ? null : JSON.stringify(result)))),
    request_id: text(ended.map(({ request_id = null }) => request_id)),
    settled_at: integer(ended.map((one) => (isSettled(one) ? at : null))),
  })
    .set((row) => ({
      outcome: row.ref("came.outcome"),
      attempt: row.ref("came.attempt"),
      due_at: row.ref("came.due_at"),
      result: row.ref("came.result"),
      request_id: row.ref("came.request_id"),
      settled_at: row.ref("came.settled_at"),
    }))
    .execute();
}

/** Writes down when Plaid acknowledged the webhook of these Items. */
export async function writeAcknowledged(
  means: Pick<Means, "database">,
  sql: Sql,
  sweepId: number,
  heard: readonly { readonly position: number; readonly at: number }[],
): Promise<void> {
  if (heard.length === 0) return;
  const positions = heard.map(({ position }) => position);
  await rowsAs(means, sql, sweepId, positions, { at: integer(heard.map(({ at }) => at)) })
    .set((row) => ({ acknowledged_at: row.ref("came.at") }))
    .execute();
}

/** Counts another attempt of these Items before anything is begun, so that after a crash ours are told from others' doing. */
export async function countAttempts(
  means: Pick<Means, "database">,
  sql: Sql,
  held: Held,
  entries: readonly Entry[],
): Promise<void> {
  if (entries.length === 0) return;
  const positions = entries.map(({ position }) => position);
  await rowsAs(means, sql, held.shard.sweep_id, positions, {})
    .set((row) => ({ attempt: row("sweep_items.attempt", "+", 1) }))
    .execute();
}

/** The same, if the shard is ours still. */
export const beginAttempts = (
  means: Means,
  held: Held,
  entries: readonly Entry[],
): Promise<Result<boolean, KeeperFailure>> =>
  transact(means, async (sql) => {
    if (!(await holdLease(sql, held.lease))) return ok(false);
    await countAttempts(means, sql, held, entries);
    return ok(true);
  });

/** Gives the shard back, to be taken up again at `dueAt`. */
export async function putBack(
  means: Means,
  { lease, shard }: Pick<Held, "lease" | "shard">,
  dueAt: number | undefined,
): Promise<void> {
  // Where this fails the lease runs out.
  void (await transact(means, async (sql) => {
    if ((await releaseLease(sql, lease)) && dueAt !== undefined)
      await changeShard(sql, shard, { due_at: dueAt });
    return ok(undefined);
  }));
}

/** Ends the shard, and with the last one its sweep. Says whether it was ours to end. */
export const closeShard = (means: Means, { shard, lease }: Held): Promise<Result<boolean, KeeperFailure>> =>
  transact(means, async (sql) => {
    // One after another: of two that are the last, one must see so.
    const sweep = await lockSweep(means, sql, shard.sweep_id);
    if (!(await releaseLease(sql, lease))) return ok(false);
    await changeShard(sql, shard, { state: "done" });
    const left = await sql
      .selectFrom("shards")
      .select("number")
      .where("sweep_id", "=", shard.sweep_id)
      .where("state", "=", "waiting")
      .limit(1)
      .executeTakeFirst();
    if (!left && sweep && !isOver(sweep)) await endSweep(means, sql, sweep, "done");
    return ok(true);
  });

const changeShard = (
  sql: Sql,
  { sweep_id, number }: ShardRow,
  changes: { readonly due_at: number } | { readonly state: "done" },
) =>
  sql
    .updateTable("shards")
    .set(changes)
    .where("sweep_id", "=", sweep_id)
    .where("number", "=", number)
    .execute();

/** Ends a sweep, and says so in the history. The row must be locked. */
export async function endSweep(
  means: Pick<Means, "environment" | "now" | "actor">,
  sql: Sql,
  { sweep_id, operation, total }: SweepRow,
  state: "done" | "cancelled",
): Promise<void> {
  await sql
    .updateTable("sweeps")
    .set({ state, ended_at: means.now() })
    .where("sweep_id", "=", sweep_id)
    .execute();
  const sums = await sql
    .selectFrom("shards")
    .select((row) => [
      row.fn.sum("done").as("done"),
      row.fn.sum("skipped").as("skipped"),
      row.fn.sum("failed").as("failed"),
    ])
    .where("sweep_id", "=", sweep_id)
    .executeTakeFirstOrThrow();
  const counts = { done: Number(sums.done), skipped: Number(sums.skipped), failed: Number(sums.failed) };
  const detail = { sweep_id, operation, total, ...counts };
  await addEvent(means, sql, { kind: `sweep.${state}`, item_id: null, detail });
}
