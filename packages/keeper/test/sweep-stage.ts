// One shard at a time, run by hand on SQLite, with a clock and a budget that the test holds.

import { leaseOfItem } from "../src/database/leases.ts";
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { SweepOperation } from "../src/database/schema.ts";
import type { Means } from "../src/lifecycle/means.ts";
import { Setbacks, type Chunks } from "../src/sweep/pace.ts";
import type { Ground } from "../src/sweep/pool.ts";
import { runShard } from "../src/sweep/shard.ts";
import type { SweepOptions } from "../src/sweep/sweep.ts";
import { value } from "./lifecycle-world.ts";
import { fleet } from "./sweep-world.ts";

type Take = Ground["budget"]["take"];

export async function stage(t: TestContext, count: number) {
  const folder = await mkdtemp(join(tmpdir(), "sett-stage-"));
  const world = await fleet(join(folder, "data"), join(folder, "escrow"), count);
  t.after(async () => {
    await world.close();
    await rm(folder, { recursive: true });
  });
  const { keeper, sandbox } = world;
  const { sql } = keeper.database;
  const clock = { now: Date.now() };
  const calls: string[] = [];
  const plaid: Means["plaid"] = {
    ...world.plaid,
    post: (...asked) => {
      calls.push(asked[0]);
      return sandbox.post(...asked);
    },
  };
  const means = {
    database: keeper.database,
    vault: keeper.vault,
    environment: "sandbox",
    holder: "stage",
    now: () => clock.now,
    wait: () => new Promise(() => {}),
    leaseMs: 60_000,
    patienceMs: 60_000,
    plaid: { ...plaid, timeoutMs: 30_000 },
  } as unknown as Means;
  const setbacks = new Setbacks(() => clock.now);
  const chunks: Chunks = new Map();
  return {
    ...world,
    means,
    clock,
    calls,
    sql,
    setbacks,
    submit: async (operation: SweepOperation, options: SweepOptions = {}) =>
      value(await keeper.sweep(operation, options)).sweep_id,
    run: (
      sweepId: number,
      more: {
        number?: number;
        take?: Take;
        acts?: Partial<Ground["acts"]>;
        means?: Partial<Means>;
        inFlight?: number;
        signal?: AbortSignal;
      } = {},
    ) => {
      const { number = 0, take = async () => "go", acts = {}, inFlight = 4 } = more;
      const ground = {
        means: { ...means, ...more.means },
        acts,
        budget: { take, refused: () => {} },
        patience: { attempts: 6, pauseMs: 10_000 },
      } as unknown as Ground;
      const { signal = new AbortController().signal } = more;
      return runShard(ground, sweepId, number, { inFlight, leaseMs: 30_000, signal, setbacks, chunks });
    },
    rows: (sweepId: number) =>
      sql.selectFrom("sweep_items").selectAll().where("sweep_id", "=", sweepId).orderBy("position").execute(),
    dueAt: async (sweepId: number, number = 0) => {
      const shard = await sql
        .selectFrom("shards")
        .select("due_at")
        .where("sweep_id", "=", sweepId)
        .where("number", "=", number)
        .executeTakeFirstOrThrow();
      return shard.due_at;
    },
    /** Somebody else has the Item from now on. */
    occupy: async (itemId: string, until: number) => {
      const taken = { name: leaseOfItem(itemId), holder: "somebody else", fence: 1_000, until_ms: until };
      await sql
        .insertInto("leases")
        .values(taken)
        .onConflict((conflict) => conflict.column("name").doUpdateSet(taken))
        .execute();
    },
  };
}

/** How many of the Items are under a lease that has not run out. */
export async function leased({ sql, clock }: Awaited<ReturnType<typeof stage>>): Promise<number> {
  const { n } = await sql
    .selectFrom("leases")
    .select((row) => row.fn.countAll().as("n"))
    .where("name", "like", "item %")
    .where("until_ms", ">", clock.now)
    .executeTakeFirstOrThrow();
  return Number(n);
}

/** Gives way until it is so: what is waited for needs no time but the database's. */
export async function soon(isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < end, "it does not come about");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
