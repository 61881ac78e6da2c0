// Hands shards to workers. On PostgreSQL each shard that is due is a job of pg-boss, so that any number of workers on
// any number of hosts share them; on SQLite they are read from their table. Either way the lease of a shard decides, and
// a job may come twice, late or never.

import { err, ok, type Result } from "sett";
import { sql as raw } from "kysely";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { read, type Means } from "../lifecycle/means.ts";

/** A shard to be worked on. */
export interface Job {
  readonly sweep_id: number;
  readonly number: number;
  /** Says that it was worked on, whatever came of it. */
  over(): Promise<void>;
}

export interface Jobs {
  /** At most so many shards that are due. */
  next(count: number): Promise<Result<readonly Job[], KeeperFailure>>;
  /** Shards that are due and that nobody is at, though their jobs may be somebody's who has died. */
  orphans(count: number): Promise<Result<readonly Job[], KeeperFailure>>;
  close(): Promise<void>;
}

const schema = "sett_jobs";
/** How many jobs are there in advance. */
const ahead = 200;
/** pg-boss's least. */
const heartbeatSeconds = 10;
const touchMs = 4_000;

/** Of the table itself, for the one process on SQLite. */
export const tableJobs = (means: Means): Jobs => ({
  next: (count) => due(means, count),
  orphans: async () => ok([]),
  close: async () => {},
});

/** Through pg-boss, in the same database. What it says in the background goes to `problem`. */
export async function bossJobs(
  means: Means,
  url: string,
  problem: (what: unknown) => void,
): Promise<Result<Jobs, KeeperFailure>> {
  // Loaded here: it takes as long as all the rest, and only workers on PostgreSQL need it.
  const { PgBoss } = await import("pg-boss");
  // Of each environment its own: a worker of the other one could do nothing with a job but take it away.
  const queue = `sett-sweep-${means.environment}`;
  const boss = new PgBoss({
    connectionString: url,
    schema,
    application_name: "sett jobs",
    max: 2,
    schedule: false,
    superviseIntervalSeconds: 10,
    monitorIntervalSeconds: 10,
  });
  boss.on("error", problem);
  try {
    await boss.start();
    await boss.createQueue(queue, {
      // One job of a shard at a time, waiting or at work: handing it in again adds nothing.
      policy: "exclusive",
      heartbeatSeconds,
      expireInSeconds: 6 * 3_600,
      retryLimit: 1_000,
      retryDelay: 0,
      deleteAfterSeconds: 60,
    });
  } catch (error) {
    await boss.stop({ graceful: false }).catch(() => {});
    return err(bossFailed(error));
  }

  const held = new Set<string>();
  const touching = setInterval(() => {
    if (held.size > 0) boss.touch(queue, [...held]).catch(problem);
  }, touchMs).unref();

  const fetch = async (count: number): Promise<Job[]> => {
    const jobs = await boss.fetch<{ sweep_id: number; number: number }>(queue, { batchSize: count });
    return jobs.map(({ id, data }) => {
      held.add(id);
      return {
        ...data,
        over: async () => {
          held.delete(id);
          // One that cannot be told comes again, and finds its shard done.
          await boss.complete(queue, id).catch(problem);
        },
      };
    });
  };

  return ok({
    async next(count) {
      try {
        const jobs = await fetch(count);
        if (jobs.length === count) return ok(jobs);
        const found = await due(means, ahead);
        if (!found.ok) return jobs.length > 0 ? ok(jobs) : found;
        if (found.value.length === 0) return ok(jobs);
        const rows = found.value.map(({ sweep_id, number }) => ({
          data: { sweep_id, number },
          singletonKey: `${sweep_id} ${number}`,
          // The oldest sweep first, and its first Items first.
          priority: -sweep_id,
        }));
        await boss.insert(queue, rows);
        return ok([...jobs, ...(await fetch(count - jobs.length))]);
      } catch (error) {
        return err(bossFailed(error));
      }
    },
    orphans: (count) => due(means, count),
    async close() {
      clearInterval(touching);
      await boss.stop({ graceful: false, close: true }).catch(problem);
    },
  });
}

const bossFailed = (error: unknown): KeeperFailure => ({
  kind: "database",
  database: {
    kind: "unavailable",
    committed: "no",
    constraint: null,
    code: (Object(error) as { code?: string }).code ?? null,
    detail: `pg-boss: ${(Object(error) as Error).name}`,
  },
});

/** Shards that are due, of sweeps that are going, and that are nobody's. */
async function due(means: Means, limit: number): Promise<Result<readonly Job[], KeeperFailure>> {
  const name = raw<string>`'sweep ' || shards.sweep_id || ' ' || shards.number`;
  const { environment, now } = means;
  const found = await read(means, async (sql) => {
    // First the sweeps, of which there are few: joined, SQLite would go through the shards of all that ever were.
    const going = await sql
      .selectFrom("sweeps")
      .select("sweep_id")
      .where("ended_at", "is", null)
      .where("state", "in", ["waiting", "running"])
      .where("environment", "=", environment)
      .execute();
    if (going.length === 0) return [];
    return sql
      .selectFrom("shards")
      .leftJoin("leases", (join) => join.on("leases.name", "=", name))
      .select(["shards.sweep_id", "shards.number"])
      .where(
        "shards.sweep_id",
        "in",
        going.map(({ sweep_id }) => sweep_id),
      )
      .where("shards.state", "=", "waiting")
      .where("shards.due_at", "<=", now())
      .where((row) => row.or([row("leases.until_ms", "is", null), row("leases.until_ms", "<=", now())]))
      .orderBy("shards.sweep_id")
      .orderBy("shards.number")
      .limit(limit)
      .execute();
  });
  if (!found.ok) return found;
  return ok(found.value.map((shard) => ({ ...shard, over: async () => {} })));
}
