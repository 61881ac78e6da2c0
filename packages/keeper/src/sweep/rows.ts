// The rows of sweeps as the room reads them: a sweep with its parameters opened, its shards, and a shard's lease.

import { err, ok, type Item as Items, type Result } from "sett";
import type { Selectable } from "kysely";
import type { Sql } from "../database/connection.ts";
import type { ShardsTable, SweepItemsTable, SweepsTable } from "../database/schema.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { openText, read, type Means, type Reading, type Writing } from "../lifecycle/means.ts";
import type { Selection } from "../lifecycle/selection.ts";
import type { Sweep, SweepFailure, SweepOrder } from "./sweep.ts";

export type SweepRow = Selectable<SweepsTable>;
export type ShardRow = Selectable<ShardsTable>;
export type SweepItemRow = Selectable<SweepItemsTable>;

/** What stands sealed in a sweep's `detail`. */
export interface Parameters {
  readonly webhook?: string | null;
  readonly reason?: Items.RemoveReason;
  readonly acknowledgeWithinMs: number;
  readonly silentAfterMs: number;
  readonly unusedAfterMs: number;
}

/** Who holds it works on the shard. */
export const leaseOfShard = (sweepId: number, number: number): string => `sweep ${sweepId} ${number}`;

export const isOver = ({ state }: Pick<SweepRow, "state">): boolean =>
  state === "cancelled" || state === "done";

/** Whether workers may work on it. */
export const isActive = ({ state }: Pick<SweepRow, "state">): boolean =>
  state === "waiting" || state === "running";

export const sweepOf = (row: SweepRow): Sweep => ({
  sweep_id: row.sweep_id,
  operation: row.operation,
  state: row.state,
  order: row.ordering as SweepOrder,
  selection: JSON.parse(row.selection) as Selection,
  note: row.note,
  rolls_back: row.rolls_back,
  total: row.total,
  submitted_at: row.submitted_at,
  begun_at: row.begun_at,
  ended_at: row.ended_at,
});

const sweepById = ({ environment }: Pick<Means, "environment">, sql: Sql, sweepId: number) =>
  sql.selectFrom("sweeps").selectAll().where("sweep_id", "=", sweepId).where("environment", "=", environment);

export const findSweep = (
  means: Pick<Means, "environment">,
  sql: Sql,
  sweepId: number,
): Promise<SweepRow | undefined> => sweepById(means, sql, sweepId).executeTakeFirst();

/** The sweep's row, held until the transaction ends. */
export const lockSweep = (means: Writing, sql: Sql, sweepId: number): Promise<SweepRow | undefined> =>
  means.database.differences.lockRows(sweepById(means, sql, sweepId)).executeTakeFirst();

export async function readSweep(means: Reading, sweepId: number): Promise<Result<SweepRow, SweepFailure>> {
  const found = await read(means, (sql) => findSweep(means, sql, sweepId));
  if (!found.ok) return found;
  return found.value ? ok(found.value) : err({ kind: "unknown-sweep", sweep_id: sweepId });
}

export async function parametersOf(
  means: Reading,
  { sweep_id, detail, key_id }: Pick<SweepRow, "sweep_id" | "detail" | "key_id">,
): Promise<Result<Parameters, KeeperFailure>> {
  const text = await openText(means, detail, placeOf(sweep_id), key_id);
  return text.ok ? ok(JSON.parse(text.value) as Parameters) : text;
}

export const placeOf = (sweepId: number) => ({ purpose: "sweep", subject: `${sweepId}` }) as const;
