// Deletes what is only of the past: sweeps that are over, with a row for each Item of theirs; what was asked of Plaid and
// came to an end; webhooks in the history that every subscriber has read. What says where an Item or a token is, and what
// became of it, stays for ever. It goes a page at a time and may be broken off anywhere: the next one goes on.

import { err, ok, type Result } from "sett";
import { boolean, callback, type FieldsOf } from "sett/kinds";
import type { Sql } from "./database/connection.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import { abortSignal, refuseUnfit } from "./lifecycle/known.ts";
import { addEvent } from "./lifecycle/ledger.ts";
import { databaseFailed, type Writing } from "./lifecycle/means.ts";
import { leaseOfShard, type SweepRow } from "./sweep/rows.ts";

export interface PruneOptions {
  /** What was over before then goes, in milliseconds since 1970; a day ago at the latest. */
  readonly before: number;
  /** Counts what would go, and deletes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Told after each page. */
  readonly onProgress?: ((soFar: PrunedRows) => void) | undefined;
  /** Ends it after the page at hand. */
  readonly signal?: AbortSignal | undefined;
}

/** How many went, or would. */
export interface PrunedRows {
  /** That ended before then, but for the latest of all, and those that one which stays has rolled back. */
  readonly sweeps: number;
  /** Of those sweeps; a report of them cannot be had any more. */
  readonly sweepItems: number;
  /** Settled as done or not done; none younger than 30 days. Those that ended as lost or stranded stay. */
  readonly intents: number;
  /** In the history. Changes stay. */
  readonly webhooks: number;
}

export interface Pruned extends PrunedRows {
  /** Subscribers that have not read so far: what they have not had stays. */
  readonly unread: readonly string[];
  /** False where the signal ended it. */
  readonly whole: boolean;
}

const dayMs = 24 * 3_600_000;
/** An intent says for which Item a link token was made, and one of Hosted Link lives for 21 days at most. */
const intentMs = 30 * dayMs;
const pageRows = 2_000;
/** A sweep over many millions has a hundred thousand shards. */
const sweepMs = 60_000;

const fieldsAt = (now: number): FieldsOf<PruneOptions> => ({
  before: {
    expected: "a time in milliseconds since 1970, at least a day ago",
    accepts: (value) => Number.isSafeInteger(value) && (value as number) <= now - dayMs,
  },
  "dryRun?": boolean,
  "onProgress?": callback,
  "signal?": abortSignal,
});

/** Prunes: see `Keeper.prune`. */
export async function prune(
  means: Writing,
  options: PruneOptions,
  closing?: AbortSignal,
): Promise<Result<Pruned, KeeperFailure>> {
  const now = means.now();
  refuseUnfit("the options of prune", options, fieldsAt(now));
  const { before, dryRun = false, onProgress } = options;
  const signal = AbortSignal.any([closing, options.signal].filter((one) => one !== undefined));
  const sum = { sweeps: 0, sweepItems: 0, intents: 0, webhooks: 0 };
  const count = (kind: keyof PrunedRows, rows: number) => {
    sum[kind] += rows;
    onProgress?.({ ...sum });
  };
  const run: Run = { means, dryRun, signal, count };
  for (const step of [
    () => pruneSweeps(run, before),
    () => pruneIntents(run, Math.min(before, now - intentMs)),
    () => pruneWebhooks(run, before),
  ]) {
    const pruned = await step();
    if (!pruned.ok) return pruned;
  }
  const unread = await notYetRead(means, before);
  return unread.ok ? ok({ ...sum, unread: unread.value, whole: !signal.aborted }) : unread;
}

interface Run {
  readonly means: Writing;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly count: (kind: keyof PrunedRows, rows: number) => void;
}

type Step = Promise<Result<undefined, KeeperFailure>>;

/** A table, in the order of its key. */
interface Walk<Row> {
  readonly counts: keyof PrunedRows;
  page(sql: Sql, after: Row | undefined): Promise<readonly Row[]>;
  /** Whether a row is deleted, or stays. */
  goes(row: Row): boolean;
  remove(sql: Sql, rows: readonly Row[]): Promise<unknown>;
  /** Whether all that follow are younger. */
  isLast?(row: Row): boolean;
}

/** Page after page, so that nobody waits for long. */
async function walk<Row>(
  { means, dryRun, signal, count }: Run,
  { counts, page, goes, remove, isLast }: Walk<Row>,
): Step {
  for (let last: Row | undefined; !signal.aborted;) {
    const after = last;
    const read = await means.database.read((sql) => page(sql, after));
    if (!read.ok) return err(databaseFailed(read.error));
    const past = read.value.filter(goes);
    if (past.length > 0 && !dryRun) {
      const removed = await means.database.read((sql) => remove(sql, past));
      if (!removed.ok) return err(databaseFailed(removed.error));
    }
    count(counts, past.length);
    last = read.value.at(-1);
    if (read.value.length < pageRows || last === undefined || isLast?.(last)) break;
  }
  return ok(undefined);
}

/** First the sweeps, each with its shards at once: then nobody sees one by halves, and rows without a sweep are nobody's. */
async function pruneSweeps(run: Run, before: number): Step {
  const { means, dryRun, signal, count } = run;
  const { database, environment } = means;
  const found = await database.read((sql) =>
    sql
      .selectFrom("sweeps")
      .select(["sweep_id", "environment", "operation", "total", "ended_at", "rolls_back"])
      .orderBy("sweep_id", "desc")
      .execute(),
  );
  if (!found.ok) return err(databaseFailed(found.error));
  const stays = new Set(found.value.map(({ sweep_id }) => sweep_id));
  for (const sweep of pastOf(found.value, environment, before)) {
    if (signal.aborted) return ok(undefined);
    const removed = dryRun ? ok(1) : await removeSweep(means, sweep);
    if (!removed.ok) return removed;
    if (removed.value > 0) stays.delete(sweep.sweep_id);
    count("sweeps", removed.value);
  }

  const latest = found.value[0]?.sweep_id ?? 0; // any that has come since has a higher number
  for (let after = -1; !signal.aborted;) {
    const from = after + 1;
    const next = await database.read((sql) =>
      sql
        .selectFrom("sweep_items")
        .select((row) => row.fn.min("sweep_id").as("id"))
        .where("sweep_id", ">=", from)
        .where("sweep_id", "<=", latest)
        .executeTakeFirstOrThrow(),
    );
    if (!next.ok) return err(databaseFailed(next.error));
    const { id } = next.value;
    if (id === null) break;
    after = id;
    if (stays.has(id)) continue;
    const walked = await walk<{ position: number }>(run, {
      counts: "sweepItems",
      page: (sql, after) =>
        sql
          .selectFrom("sweep_items")
          .select("position")
          .where("sweep_id", "=", id)
          .where("position", ">", after?.position ?? -1)
          .orderBy("position")
          .limit(pageRows)
          .execute(),
      goes: () => true,
      remove: (sql, rows) =>
        sql
          .deleteFrom("sweep_items")
          .where("sweep_id", "=", id)
          .where("position", ">=", rows[0]!.position)
          .where("position", "<=", rows.at(-1)!.position)
          .execute(),
    });
    if (!walked.ok) return walked;
  }
  return ok(undefined);
}

type Known = Pick<SweepRow, "sweep_id" | "environment" | "operation" | "total" | "ended_at" | "rolls_back">;

/** Of all sweeps, the latest first: those that go. Numbers are counted up from the latest, which therefore stays. */
function pastOf(sweeps: readonly Known[], environment: string, before: number): readonly Known[] {
  const needed = new Set([sweeps[0]?.sweep_id]);
  return sweeps.filter((sweep) => {
    const { sweep_id, ended_at, rolls_back } = sweep;
    const goes =
      sweep.environment === environment && ended_at !== null && ended_at < before && !needed.has(sweep_id);
    if (!goes && rolls_back !== null) needed.add(rolls_back);
    return goes;
  });
}

/** With its shards and their leases, which nobody will ever ask for again. Gives how many it was: none where it is needed after all. */
async function removeSweep(
  means: Writing,
  { sweep_id, operation, total }: Known,
): Promise<Result<number, KeeperFailure>> {
  const removed = await means.database.transaction<number, never>(
    async (sql) => {
      const shards = await sql
        .deleteFrom("shards")
        .where("sweep_id", "=", sweep_id)
        .returning("number")
        .execute();
      const names = shards.map(({ number }) => leaseOfShard(sweep_id, number));
      await sql
        .deleteFrom("leases")
        .where("name", "in", these(means, sql, "text", names))
        .execute();
      const { numDeletedRows } = await sql
        .deleteFrom("sweeps")
        .where("sweep_id", "=", sweep_id)
        .executeTakeFirstOrThrow();
      const detail = { sweep_id, operation, total };
      if (numDeletedRows > 0n) await addEvent(means, sql, { kind: "sweep.pruned", item_id: null, detail });
      return ok(Number(numDeletedRows));
    },
    { patienceMs: sweepMs },
  );
  if (removed.ok) return removed;
  // It is being rolled back.
  return removed.error.constraint === "foreign-key" ? ok(0) : err(databaseFailed(removed.error));
}

const pruneIntents = (run: Run, before: number): Step =>
  walk<{ intent_id: string; outcome: string | null; settled_at: number | null }>(run, {
    counts: "intents",
    page: (sql, after) =>
      sql
        .selectFrom("intents")
        .select(["intent_id", "outcome", "settled_at"])
        .where("environment", "=", run.means.environment)
        .where("intent_id", ">", after?.intent_id ?? "")
        .orderBy("intent_id")
        .limit(pageRows)
        .execute(),
    goes: ({ outcome, settled_at }) =>
      (outcome === "done" || outcome === "not-done") && settled_at !== null && settled_at < before,
    remove(sql, rows) {
      const ids = rows.map(({ intent_id }) => intent_id);
      return sql
        .deleteFrom("intents")
        .where("intent_id", "in", these(run.means, sql, "text", ids))
        .execute();
    },
  });

/** Up to where the slowest subscriber is. */
async function pruneWebhooks(run: Run, before: number): Step {
  const { environment, database } = run.means;
  const slowest = await database.read((sql) =>
    sql
      .selectFrom("cursors")
      .select((row) => row.fn.min("seq").as("seq"))
      .where("environment", "=", environment)
      .executeTakeFirstOrThrow(),
  );
  if (!slowest.ok) return err(databaseFailed(slowest.error));
  const read = slowest.value.seq ?? Infinity;
  return walk<{ seq: number; at: number; kind: string; environment: string }>(run, {
    counts: "webhooks",
    page: (sql, after) =>
      sql
        .selectFrom("events")
        .select(["seq", "at", "kind", "environment"])
        .where("seq", ">", after?.seq ?? 0)
        .orderBy("seq")
        .limit(pageRows)
        .execute(),
    goes: (event) =>
      event.kind === "webhook" && event.at < before && event.seq <= read && event.environment === environment,
    remove(sql, rows) {
      const seqs = rows.map(({ seq }) => seq);
      return sql
        .deleteFrom("events")
        .where("seq", "in", these(run.means, sql, "integer", seqs))
        .execute();
    },
    isLast: ({ seq, at }) => seq > read || at >= before,
  });
}

/** Those for whom something of that time still lies there. */
async function notYetRead(
  { database, environment }: Writing,
  before: number,
): Promise<Result<readonly string[], KeeperFailure>> {
  const behind = await database.read((sql) =>
    sql
      .selectFrom("cursors")
      .select("subscriber")
      .where("environment", "=", environment)
      .where(
        (cursor) =>
          cursor
            .selectFrom("events")
            .select("at")
            .whereRef("events.seq", ">", "cursors.seq")
            .orderBy("events.seq")
            .limit(1),
        "<",
        before,
      )
      .orderBy("subscriber")
      .execute(),
  );
  return behind.ok ? ok(behind.value.map(({ subscriber }) => subscriber)) : err(databaseFailed(behind.error));
}

/** For `in`: any number of values in the same words. */
const these = <Value>({ database }: Writing, sql: Sql, kind: "text" | "integer", values: readonly Value[]) =>
  sql.selectFrom(database.differences.rows("these", { value: { kind, values } })).select("these.value");
