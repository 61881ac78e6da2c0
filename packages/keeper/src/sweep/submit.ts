// Submitting a sweep: the Items that are selected now are written down in order, in one statement, each with what it has
// now; what changes later is told apart. The same sweep again, while it is not over, is the one that is there.

import { err, ok, type Result } from "sett";
import { sql as raw, type SelectQueryBuilder } from "kysely";
import type { Sql } from "../database/connection.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Schema, SweepOperation } from "../database/schema.ts";
import { refuseUnlessReason, refuseUnlessUrl } from "../lifecycle/acts.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { addEvent, viewOf } from "../lifecycle/ledger.ts";
import { databaseFailed, sealText, type Means } from "../lifecycle/means.ts";
import { selected, type Selection } from "../lifecycle/selection.ts";
import { isOver, parametersOf, placeOf, readSweep, sweepOf, type Parameters, type SweepRow } from "./rows.ts";
import type { DryRun, Outcome, Submitted, SweepOptions, SweepOrder } from "./sweep.ts";

const usualShard = 500;
/** A million Items take some seconds. */
const freezeMs = 10 * 60_000;
/** Two processes that submit at once draw the same number; one of them draws again. */
const draws = 20;

const orders: Record<SweepOrder, string> = {
  item_id: "items.item_id",
  oldest: "items.token_at, items.item_id",
  institution: "items.institution_id, items.item_id",
  riskiest:
    "case when items.state = 'healthy' then 1 else 0 end, case when items.token_version = 1 then 0 else 1 end, " +
    "items.token_at, items.item_id",
};

interface Plan {
  readonly operation: SweepOperation;
  readonly selection: Selection;
  readonly order: SweepOrder;
  readonly parameters: Parameters;
  readonly note: string | null;
  readonly rolls_back: number | null;
  readonly shardSize: number;
  /** Writes the Items down; says how many. */
  freeze(sql: Sql, sweepId: number): Promise<bigint>;
}

export async function submit(
  means: Means,
  operation: SweepOperation,
  options: SweepOptions,
): Promise<Result<Submitted, KeeperFailure>> {
  const parameters = parametersFrom(operation, options);
  const { order = "item_id", note = null, shardSize = usualShard } = options;
  if (!(Number.isInteger(shardSize) && shardSize > 0))
    throw new TypeError("shardSize must be a whole number above 0");
  if (!Object.hasOwn(orders, order))
    throw new TypeError("the order must be item_id, oldest, institution or riskiest");
  const selection = plain(options.selection ?? {});
  const freeze = async (sql: Sql, sweepId: number) => {
    const frozen = selected(means, sql, selection).select([
      raw<number>`${raw.lit(sweepId)}`.as("sweep_id"),
      raw<number>`row_number() over (order by ${raw.raw(orders[order])}) - 1`.as("position"),
      "items.item_id",
      "items.token_version",
      "items.state",
      "items.webhook",
    ]);
    const { numInsertedOrUpdatedRows } = await sql
      .insertInto("sweep_items")
      .columns(["sweep_id", "position", "item_id", "token_version", "state", "webhook"])
      .expression(frozen)
      .executeTakeFirst();
    return numInsertedOrUpdatedRows ?? 0n;
  };
  return write(means, { operation, selection, order, parameters, note, rolls_back: null, shardSize, freeze });
}

/** A sweep that puts the webhooks back that another has moved, where nobody has moved them since. */
export async function rollBack(means: Means, sweepId: number): Outcome<Submitted> {
  const found = await readSweep(means, sweepId);
  if (!found.ok) return found;
  const old = found.value;
  if (!isOver(old)) return err({ kind: "wrong-state", sweep_id: sweepId, state: old.state });
  if (old.operation !== "webhook") throw new TypeError("only a sweep that moved webhooks can be rolled back");
  const opened = await parametersOf(means, old);
  if (!opened.ok) return opened;
  const { acknowledgeWithinMs, silentAfterMs } = opened.value;
  const freeze = async (sql: Sql, newId: number) => {
    // What the other one has set.
    const set = old.rolls_back === null ? raw`${opened.value.webhook ?? ""}` : raw`coalesce(was.target, '')`;
    const frozen = sql
      .selectFrom("sweep_items as was")
      .innerJoin("items", "items.item_id", "was.item_id")
      .where("was.sweep_id", "=", sweepId)
      .where("was.outcome", "=", "done")
      .where("items.removed_at", "is", null)
      .where(raw<boolean>`coalesce(items.webhook, '') = ${set}`)
      .select([
        raw<number>`${raw.lit(newId)}`.as("sweep_id"),
        raw<number>`row_number() over (order by was.position) - 1`.as("position"),
        "items.item_id",
        "items.token_version",
        "items.state",
        "items.webhook",
        "was.webhook as target",
      ]);
    const { numInsertedOrUpdatedRows } = await sql
      .insertInto("sweep_items")
      .columns(["sweep_id", "position", "item_id", "token_version", "state", "webhook", "target"])
      .expression(frozen)
      .executeTakeFirst();
    return numInsertedOrUpdatedRows ?? 0n;
  };
  return write(means, {
    operation: "webhook",
    selection: JSON.parse(old.selection) as Selection,
    order: "item_id",
    parameters: { acknowledgeWithinMs, silentAfterMs },
    note: old.note,
    rolls_back: sweepId,
    shardSize: old.shard_size,
    freeze,
  });
}

async function write(means: Means, plan: Plan): Promise<Result<Submitted, KeeperFailure>> {
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
    const known = await database.read(async (sql) => ({
      open: await sql
        .selectFrom("sweeps")
        .selectAll()
        .where("digest", "=", digest)
        .where("ended_at", "is", null)
        .executeTakeFirst(),
      last: await sql.selectFrom("sweeps").select("sweep_id").orderBy("sweep_id", "desc").executeTakeFirst(),
    }));
    if (!known.ok) return err(databaseFailed(known.error));
    if (known.value.open) return ok({ ...sweepOf(known.value.open), again: true });
    const sweep_id = (known.value.last?.sweep_id ?? 0) + 1;
    const detail = await sealText(means, text, placeOf(sweep_id));
    if (!detail.ok) return detail;
    const written = await database.transaction<SweepRow, DatabaseFailure>(
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
        const total = Number(await plan.freeze(sql, sweep_id));
        await cut(database.differences.rows, sql, sweep_id, total, shardSize);
        const ended = total === 0 ? { state: "done" as const, ended_at: now() } : {};
        await sql
          .updateTable("sweeps")
          .set({ total, ...ended })
          .where("sweep_id", "=", sweep_id)
          .execute();
        const about = { sweep_id, operation, total, rolls_back };
        await addEvent(means, sql, { kind: "sweep.submitted", item_id: null, detail: about });
        return ok({ ...row, total, ...ended });
      },
      { patienceMs: freezeMs },
    );
    if (written.ok) return ok({ ...sweepOf(written.value), again: false });
    // Somebody else was quicker, with this sweep or with this number.
    if (written.error.constraint !== "unique" || draw === draws) return err(databaseFailed(written.error));
  }
}

/** Its shards. */
async function cut(
  rows: Means["database"]["differences"]["rows"],
  sql: Sql,
  sweep_id: number,
  total: number,
  shardSize: number,
): Promise<void> {
  const count = Math.ceil(total / shardSize);
  if (count === 0) return;
  const numbers = Array.from({ length: count }, (_, number) => number);
  const sizes = numbers.map((number) => Math.min(shardSize, total - number * shardSize));
  await sql
    .insertInto("shards")
    .columns(["sweep_id", "number", "total"])
    .expression(
      sql
        .selectFrom(
          rows("cut", {
            number: { kind: "integer", values: numbers },
            size: { kind: "integer", values: sizes },
          }),
        )
        .select([raw<number>`${raw.lit(sweep_id)}`.as("sweep_id"), "cut.number", "cut.size"]),
    )
    .execute();
}

/** What it would be. */
export async function dryRun(
  means: Means,
  operation: SweepOperation,
  options: SweepOptions,
  perMinute: number | null,
): Promise<Result<DryRun, KeeperFailure>> {
  parametersFrom(operation, options);
  const { order = "item_id", selection = {} } = options;
  const found = await means.database.read(async (sql) => ({
    counts: await selected(means, sql, selection)
      .select(["items.state", (row) => row.fn.countAll().as("n")])
      .groupBy("items.state")
      .execute(),
    first: await (selected(means, sql, selection) as SelectQueryBuilder<Schema, "items", object>)
      .selectAll("items")
      .orderBy(raw.raw(orders[order]) as never)
      .limit(10)
      .execute(),
  }));
  if (!found.ok) return err(databaseFailed(found.error));
  const states = Object.fromEntries(found.value.counts.map(({ state, n }) => [state, Number(n)]));
  const total = Object.values(states).reduce((sum, count) => sum + count, 0);
  const estimateMs = perMinute === null || perMinute === 0 ? null : Math.ceil((total / perMinute) * 60_000);
  return ok({ operation, total, states, estimateMs, first: found.value.first.map(viewOf) });
}

function parametersFrom(
  operation: SweepOperation,
  { webhook, reason, acknowledgeWithinMs = 3_600_000, silentAfterMs = 7 * 24 * 3_600_000 }: SweepOptions,
): Parameters {
  if (!["audit", "webhook", "rotate", "remove", "reencrypt"].includes(operation))
    throw new TypeError("the operation must be audit, webhook, rotate, remove or reencrypt");
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
    acknowledgeWithinMs,
    silentAfterMs,
  };
}

/** Without what is undefined, so that the same selection is the same text. */
const plain = (selection: Selection): Selection => JSON.parse(JSON.stringify(selection)) as Selection;
