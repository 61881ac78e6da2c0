// A shard from its lease to its end: whoever takes it goes through the Items that are due, puts it back for those that
// are tried again or await Plaid's acknowledgement, and closes it when nothing is left.

import { err, ok, type Result } from "sett";
import { sql as raw } from "kysely";
import { claimLease, holdLease, releaseLease, renewLease } from "../database/leases.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { causeOf, databaseFailed, read, transact, type Means } from "../lifecycle/means.ts";
import { audit } from "./audit.ts";
import { oneByOne } from "./one-by-one.ts";
import { permitsOf, type Chunks, type Setbacks } from "./pace.ts";
import { pass, type Ground, type Operation } from "./pool.ts";
import { reencryptTheRest, reencryptTokens } from "./reencrypt.ts";
import { findSweep, isActive, leaseOfShard, parametersOf } from "./rows.ts";
import { closeShard, putBack, writeAcknowledged, type Held } from "./settle.ts";
import { moveWebhooks } from "./webhook.ts";

/** Where a shard is left. `none`: it is at its end, its sweep is not going, or somebody else has it. */
export type ShardEnd = "closed" | "later" | "stopped" | "lost" | "none";

export interface ShardOptions {
  /** Calls at a time. */
  readonly inFlight: number;
  /** How long the shard is somebody's who does not renew it, in milliseconds. */
  readonly leaseMs: number;
  /** Aborts when the worker is to stop: what is under way is finished, nothing new begun. */
  readonly signal: AbortSignal;
  readonly setbacks: Setbacks;
  readonly chunks: Chunks;
}

/** How often a worker looks whether it is to go on. */
const watchMs = 1_000;

const operations: Record<Held["sweep"]["operation"], (ground: Ground) => Operation> = {
  audit,
  webhook: moveWebhooks,
  rotate: (ground) => oneByOne(ground, "rotate"),
  remove: (ground) => oneByOne(ground, "remove"),
  reencrypt: reencryptTokens,
};

export async function runShard(
  ground: Ground,
  sweepId: number,
  number: number,
  options: ShardOptions,
): Promise<Result<ShardEnd, KeeperFailure>> {
  const { means } = ground;
  const { signal, setbacks } = options;
  if (signal.aborted) return ok("none");
  let mine: Pick<Held, "lease" | "shard"> | undefined;
  let ended: Result<ShardEnd, KeeperFailure>;
  try {
    const taken = await takeShard(means, sweepId, number, options.leaseMs);
    if (taken.ok && !taken.value) return ok("none");
    mine = taken.ok ? taken.value : undefined;
    ended = taken.ok ? await work(ground, taken.value!, options) : taken;
  } catch (thrown) {
    ended = err(databaseFailed(causeOf(thrown)));
  }
  if (ended.ok) {
    if (ended.value !== "lost") setbacks.went(sweepId, number);
    return ended;
  }
  // Others first: it may well go like this again.
  const dueAt = setbacks.failed(sweepId, number);
  if (mine) await putBack(means, mine, dueAt);
  return ended;
}

type Taken = Omit<Held, "parameters" | "signal">;

async function work(
  ground: Ground,
  taken: Taken,
  { inFlight, leaseMs, signal, chunks }: ShardOptions,
): Promise<Result<ShardEnd, KeeperFailure>> {
  const { means } = ground;
  const stop = new AbortController();
  const parameters = await parametersOf(means, taken.sweep);
  if (!parameters.ok) return parameters;
  const held: Held = Object.assign(taken, {
    parameters: parameters.value,
    signal: AbortSignal.any([signal, stop.signal]),
  });
  const watched = watch(means, held, leaseMs, stop);
  const permits = permitsOf(ground.budget);
  let passed: Awaited<ReturnType<typeof pass>>;
  try {
    const operation = operations[held.sweep.operation]({ ...ground, budget: permits });
    passed = await pass(ground, operation, held, { inFlight, permits, chunks });
  } finally {
    // A lease that is renewed after it was given back would be nobody's for long.
    await watched.end();
  }
  if (!passed.ok) return passed;
  if (passed.value === "lost") return ok("lost");
  if (passed.value === "all") return leave(means, held);
  await putBack(means, held, undefined);
  return ok("stopped");
}

function takeShard(
  means: Means,
  sweepId: number,
  number: number,
  forMs: number,
): Promise<Result<Taken | undefined, KeeperFailure>> {
  const { holder, now } = means;
  return transact<Taken | undefined>(means, async (sql) => {
    const lease = await claimLease(sql, { name: leaseOfShard(sweepId, number), holder, now: now(), forMs });
    if (!lease) return ok(undefined);
    const sweep = await findSweep(means, sql, sweepId);
    const shard = await sql
      .selectFrom("shards")
      .selectAll()
      .where("sweep_id", "=", sweepId)
      .where("number", "=", number)
      .executeTakeFirst();
    if (!sweep || !shard || !isActive(sweep) || shard.state === "done" || shard.due_at > now()) {
      await releaseLease(sql, lease);
      return ok(undefined);
    }
    if (sweep.state === "waiting")
      await sql
        .updateTable("sweeps")
        .set({ state: "running", begun_at: now() })
        .where("sweep_id", "=", sweepId)
        .where("state", "=", "waiting")
        .execute();
    const tally = JSON.parse(shard.tally) as Held["tally"];
    return ok({ sweep, shard, lease, tally, tick: () => {} });
  });
}

/** Renews the lease and looks whether the sweep is to go on, every second. */
function watch(means: Means, held: Held, leaseMs: number, stop: AbortController): { end(): Promise<void> } {
  let over = false;
  let looking: Promise<void> = Promise.resolve();
  const look = async () => {
    held.tick();
    const { now } = means;
    const seen = await means.database.read(async (sql) => ({
      sweep: await findSweep(means, sql, held.sweep.sweep_id),
      lease: await renewLease(sql, held.lease, now(), leaseMs),
    }));
    if (!seen.ok) {
      // Perhaps it is back in a moment; but not beyond the lease.
      if (now() + 2 * watchMs >= held.lease.untilMs) stop.abort();
      return;
    }
    const { sweep, lease } = seen.value;
    if (lease) held.lease = lease;
    if (!lease || !sweep || !isActive(sweep)) stop.abort();
  };
  void (async () => {
    for (;;) {
      await means.wait(watchMs);
      if (over || held.signal.aborted) return;
      await (looking = look());
    }
  })();
  return {
    end: () => {
      over = true;
      return looking;
    },
  };
}

/** After all that was due has been tried. */
async function leave(means: Means, held: Held): Promise<Result<ShardEnd, KeeperFailure>> {
  const { sweep, shard } = held;
  const left = await read(means, (sql) =>
    sql
      .selectFrom("sweep_items")
      .select((row) => row.fn.min("due_at").as("due_at"))
      .where("sweep_id", "=", sweep.sweep_id)
      .where("position", ">=", shard.number * sweep.shard_size)
      .where("position", "<", (shard.number + 1) * sweep.shard_size)
      .where("outcome", "in", ["waiting", "unfinished"])
      .executeTakeFirst(),
  );
  if (!left.ok) return left;
  const dueAt = left.value?.due_at ?? null;
  if (dueAt !== null) {
    await putBack(means, held, Number(dueAt));
    return ok("later");
  }
  if (sweep.operation === "webhook") {
    const awaited = await acknowledged(means, held);
    if (!awaited.ok) return awaited;
    if (awaited.value === "lost") return ok("lost");
    if (awaited.value !== null) {
      await putBack(means, held, awaited.value);
      return ok("later");
    }
  }
  if (sweep.operation === "reencrypt" && shard.number === 0) {
    const rest = await reencryptTheRest(means);
    if (!rest.ok) return rest;
  }
  const closed = await closeShard(means, held);
  return closed.ok ? ok(closed.value ? "closed" : "lost") : closed;
}

const shortestLookMs = 250;
const longestLookMs = 60_000;

/**
 * Writes down which Items Plaid has acknowledged at their new address, as the inbox has it in the history. Gives the
 * time for the next look, or null where all have, or have had their time.
 */
async function acknowledged(
  means: Means,
  held: Held,
): Promise<Result<number | null | "lost", KeeperFailure>> {
  const { sweep, shard, parameters } = held;
  const { now } = means;
  const isRollback = sweep.rolls_back !== null;
  if (!isRollback && !parameters.webhook) return ok(null); // nowhere to acknowledge at
  const target = isRollback
    ? raw<string>`sweep_items.target`
    : raw<string>`cast(${parameters.webhook} as text)`;
  const looked = await transact(means, async (sql) => {
    if (!(await holdLease(sql, held.lease))) return ok(undefined);
    const open = raw<boolean>`sweep_items.sweep_id = ${sweep.sweep_id}
      and position >= ${shard.number * sweep.shard_size} and position < ${(shard.number + 1) * sweep.shard_size}
      and outcome = 'done' and acknowledged_at is null and ${target} is not null`;
    const heard = await sql
      .selectFrom("sweep_items")
      .innerJoin("events", "events.item_id", "sweep_items.item_id")
      .select((row) => ["sweep_items.position", row.fn.min("events.at").as("at")])
      .where(open)
      .where("events.seq", ">", sweep.events_from)
      .where("events.kind", "=", "webhook")
      // In JSON a URL stands as it is.
      .where("events.detail", "like", '%"WEBHOOK_UPDATE_ACKNOWLEDGED"%')
      .where(raw<boolean>`replace(events.detail, '"' || ${target} || '"', '') <> events.detail`)
      .groupBy("sweep_items.position")
      .execute();
    await writeAcknowledged(means, sql, sweep.sweep_id, heard);
    const { n } = await sql
      .selectFrom("sweep_items")
      .select((row) => row.fn.countAll().as("n"))
      .where(open)
      .executeTakeFirstOrThrow();
    const moved = await sql
      .updateTable("shards")
      .set({ unacknowledged: Number(n) })
      .where("sweep_id", "=", sweep.sweep_id)
      .where("number", "=", shard.number)
      .returning("moved_at")
      .executeTakeFirstOrThrow();
    return ok({ left: Number(n), movedAt: moved.moved_at ?? sweep.submitted_at });
  });
  if (!looked.ok) return looked;
  if (!looked.value) return ok("lost");
  const { left, movedAt } = looked.value;
  const end = movedAt + parameters.acknowledgeWithinMs;
  if (left === 0 || now() >= end) return ok(null);
  const pause = Math.min(Math.max((now() - movedAt) / 4, shortestLookMs), longestLookMs);
  return ok(Math.min(Math.ceil(now() + pause), end));
}
