// Submitting a sweep: the Items that are selected now are written down in order, in one statement, each with what it has
// now; what changes later is told apart. The same sweep again, while it is not over, is the one that is there.

import { err, ok, type Result } from "sett";
import { sql as raw, type Expression, type RawBuilder } from "kysely";
import type { Sql } from "../database/connection.ts";
import { claimLeases } from "../database/leases.ts";
import type { SweepOperation } from "../database/schema.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { addEvent, viewOf } from "../lifecycle/ledger.ts";
import { databaseFailed, read, sealText, type Means, type Reading } from "../lifecycle/means.ts";
import { selected, type Selection } from "../lifecycle/selection.ts";
import { askedOf, orders, type Asked } from "./asked.ts";
import { webhookToFreeze } from "./known-webhook.ts";
import {
  findSweep,
  isOver,
  leaseOfShard,
  parametersOf,
  placeOf,
  readSweep,
  sweepOf,
  type SweepRow,
} from "./rows.ts";
import { endSweep } from "./settle.ts";
import type { DryRun, Outcome, Submitted, SweepFailure, SweepOptions } from "./sweep.ts";

/** How long it may take to go through all Items: a hundred million are written down in some minutes. */
const freezeMs = 60 * 60_000;
/** Two processes that submit at once draw the same number; one of them draws again. */
const draws = 20;

/** Of an Item of a sweep that was cut short, or heard no answer: whether a call of it may have gone out, and come to something. */
const mayHaveMoved = raw<boolean>`was.attempt > 0 and (was.outcome in ('waiting', 'unfinished')
  or was.outcome = 'failed' and was.result not like '%"kind":"refused"%')`;

interface Plan<Failure extends SweepFailure> extends Asked {
  readonly operation: SweepOperation;
  readonly rolls_back: number | null;
  /** The rows to be written down, a query of `frozen`'s columns; or why it cannot be. */
  rows(sql: Sql, sweepId: number): Promise<Result<Expression<unknown>, Failure>>;
}

const frozen = ["sweep_id", "position", "item_id", "token_version", "state", "webhook", "target"] as const;

/** The first of these, of Items in this order. */
const placed = (sweepId: number, order: RawBuilder<unknown>) =>
  [
    raw<number>`cast(${sweepId} as bigint)`.as("sweep_id"),
    raw<number>`row_number() over (order by ${order}) - 1`.as("position"),
    "items.item_id",
    "items.token_version",
    "items.state",
  ] as const;

export async function submit(
  means: Means,
  operation: SweepOperation,
  options: SweepOptions,
): Promise<Result<Submitted, KeeperFailure>> {
  const asked = askedOf(operation, options);
  const { selection, order } = asked;
  const rows = async (sql: Sql, sweepId: number) =>
    ok(
      selected(means, sql, selection)
        .select(placed(sweepId, raw.raw(orders[order])))
        .select([webhookToFreeze.as("webhook"), raw`cast(null as text)`.as("target")]),
    );
  return write<KeeperFailure>(means, { ...asked, operation, rolls_back: null, rows });
}

/**
 * A sweep that puts the webhooks back that another has moved, or may have, where nobody has moved them since. While a
 * worker of a cancelled one still has calls out, it is not known which those are: then it fails as `wrong-state`.
 */
export async function rollBack(means: Means, sweepId: number): Outcome<Submitted> {
  const found = await readSweep(means, sweepId);
  if (!found.ok) return found;
  const old = found.value;
  if (!isOver(old)) return err({ kind: "wrong-state", sweep_id: sweepId, state: old.state });
  if (old.operation !== "webhook") throw new TypeError("only a sweep that moved webhooks can be rolled back");
  const opened = await parametersOf(means, old);
  if (!opened.ok) return opened;
  const { acknowledgeWithinMs, silentAfterMs, unusedAfterMs } = opened.value;
  const rows = async (sql: Sql, newId: number): Outcome<Expression<unknown>> => {
    if (!(await takeShards(means, sql, sweepId)))
      return err({ kind: "wrong-state", sweep_id: sweepId, state: old.state });
    // What the other one has set.
    const set = old.rolls_back === null ? raw`${opened.value.webhook ?? ""}` : raw`coalesce(was.target, '')`;
    return ok(
      sql
        .selectFrom("sweep_items as was")
        .innerJoin("items", "items.item_id", "was.item_id")
        .where("was.sweep_id", "=", sweepId)
        .where("items.removed_at", "is", null)
        .where(
          raw<boolean>`(was.outcome = 'done' and coalesce(items.webhook, '') = ${set}
          or ${mayHaveMoved} and coalesce(items.webhook, '') in (${set}, coalesce(was.webhook, '')))`,
        )
        .select(placed(newId, raw`was.position`))
        .select([raw`nullif(${set}, '')`.as("webhook"), "was.webhook as target"]),
    );
  };
  return write<SweepFailure>(means, {
    operation: "webhook",
    selection: JSON.parse(old.selection) as Selection,
    order: "item_id",
    parameters: { acknowledgeWithinMs, silentAfterMs, unusedAfterMs },
    note: old.note,
    rolls_back: sweepId,
    shardSize: old.shard_size,
    rows,
  });
}

/**
 * Takes the shards that are not at their end from whoever had them, and says whether that could be: a shard is its
 * worker's until the calls that are out have come back. Whoever is just beginning with one is waited for.
 */
async function takeShards(means: Means, sql: Sql, sweepId: number): Promise<boolean> {
  const open = await sql
    .selectFrom("shards")
    .select("number")
    .where("sweep_id", "=", sweepId)
    .where("state", "=", "waiting")
    .orderBy("number")
    .execute();
  if (open.length === 0) return true;
  const names = open.map(({ number }) => leaseOfShard(sweepId, number));
  const lease = { names, holder: means.holder, now: means.now(), forMs: 0 };
  return (await claimLeases(sql, means.database.differences.rows, lease)).size === names.length;
}

async function write<Failure extends SweepFailure>(
  means: Means,
  plan: Plan<Failure>,
): Promise<Result<Submitted, Failure | KeeperFailure>> {
  const { database, environment, now } = means;
  const { operation, selection, order, parameters, note, rolls_back, shardSize } = plan;
  const text = JSON.stringify(parameters);
  const named = await means.vault.fingerprint([
    "sweep",
    operation,
    text,
    JSON.stringify(Object.entries(selection).sort()),
    `${rolls_back}`,
  ]);
  if (!named.ok) return err({ kind: "vault", vault: named.error });
  const digest = named.value.toString("hex");
  const horizon = await database.horizon();
  if (!horizon.ok) return err(databaseFailed(horizon.error));

  for (let draw = 1; ; draw++) {
    const known = await read(means, async (sql) => ({
      open: await sql
        .selectFrom("sweeps")
        .selectAll()
        .where("digest", "=", digest)
        .where("ended_at", "is", null)
        .executeTakeFirst(),
      last: await sql.selectFrom("sweeps").select("sweep_id").orderBy("sweep_id", "desc").executeTakeFirst(),
    }));
    if (!known.ok) return known;
    if (known.value.open) return ok({ ...sweepOf(known.value.open), again: true });
    const sweep_id = (known.value.last?.sweep_id ?? 0) + 1;
    const detail = await sealText(means, text, placeOf(sweep_id));
    if (!detail.ok) return detail;
    const written = await database.transaction<SweepRow, Failure>(
      async (sql) => {
        const row = await sql
          .insertInto("sweeps")
          .values({
            sweep_id,
            environment,
            operation,
            digest,
            detail: detail.value.bytes,
            key_id: detail.value.key_id,
            selection: JSON.stringify(selection),
            ordering: order,
            note,
            rolls_back,
            state: "waiting",
            total: 0,
            shard_size: shardSize,
            events_from: horizon.value,
            submitted_at: now(),
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        const rows = await plan.rows(sql, sweep_id);
        if (!rows.ok) return rows;
        const { numInsertedOrUpdatedRows } = await sql
          .insertInto("sweep_items")
          .columns(frozen)
          .expression(rows.value)
          .executeTakeFirst();
        const total = Number(numInsertedOrUpdatedRows ?? 0n);
        // With the first shard also goes what else is sealed, which is there without any Item.
        const least = operation === "reencrypt" ? 1 : 0;
        const sizes = Array.from({ length: Math.max(least, Math.ceil(total / shardSize)) }, (_, number) =>
          Math.min(shardSize, total - number * shardSize),
        );
        await cut(database.differences.rows, sql, sweep_id, sizes);
        await sql.updateTable("sweeps").set({ total }).where("sweep_id", "=", sweep_id).execute();
        // Not before: subscribers wait for whoever has counted an event.
        const about = { sweep_id, operation, total, rolls_back };
        await addEvent(means, sql, { kind: "sweep.submitted", item_id: null, detail: about });
        if (sizes.length > 0) return ok({ ...row, total });
        await endSweep(means, sql, row, "done");
        return ok((await findSweep(means, sql, sweep_id))!);
      },
      { patienceMs: freezeMs },
    );
    if (written.ok) return ok({ ...sweepOf(written.value), again: false });
    if (!("committed" in written.error)) return err(written.error);
    // Somebody else was quicker, with this sweep or with this number.
    if (written.error.constraint !== "unique" || draw === draws) return err(databaseFailed(written.error));
  }
}

/** Its shards. */
async function cut(
  rows: Means["database"]["differences"]["rows"],
  sql: Sql,
  sweep_id: number,
  sizes: readonly number[],
): Promise<void> {
  if (sizes.length === 0) return;
  await sql
    .insertInto("shards")
    .columns(["sweep_id", "number", "total"])
    .expression(
      sql
        .selectFrom(
          rows("cut", {
            number: { kind: "integer", values: sizes.map((_, number) => number) },
            size: { kind: "integer", values: sizes },
          }),
        )
        .select([raw<number>`cast(${sweep_id} as bigint)`.as("sweep_id"), "cut.number", "cut.size"]),
    )
    .execute();
}

/** What it would be. */
export async function dryRun(
  means: Reading,
  operation: SweepOperation,
  options: SweepOptions,
  perMinute: number | null,
): Promise<Result<DryRun, KeeperFailure>> {
  const { order, selection } = askedOf(operation, options);
  const found = await means.database.read(
    async (sql) => ({
      counts: await selected(means, sql, selection)
        .select(["items.state", (row) => row.fn.countAll().as("n")])
        .groupBy("items.state")
        .execute(),
      first: await selected(means, sql, selection)
        .selectAll("items")
        .orderBy(raw`${raw.raw(orders[order])}`)
        .limit(10)
        .execute(),
    }),
    { patienceMs: freezeMs },
  );
  if (!found.ok) return err(databaseFailed(found.error));
  const states = Object.fromEntries(found.value.counts.map(({ state, n }) => [state, Number(n)]));
  const total = Object.values(states).reduce((sum, count) => sum + count, 0);
  const estimateMs = perMinute === null || perMinute === 0 ? null : Math.ceil((total / perMinute) * 60_000);
  return ok({ operation, total, states, estimateMs, first: found.value.first.map(viewOf) });
}
