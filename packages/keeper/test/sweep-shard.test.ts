// What holds of one shard whatever comes in between: attempts are counted of what is begun, nothing is begun after the
// end, one Item does not stop the others, and nobody writes without the shard's fence.

import assert from "node:assert/strict";
import { test } from "node:test";
import { err, ok } from "sett";
import type { Sql } from "../src/database/connection.ts";
import { claimLease } from "../src/database/leases.ts";
import { Flights } from "../src/lifecycle/flights.ts";
import type { Salvage } from "../src/lifecycle/salvage.ts";
import { pass, type Operation } from "../src/sweep/pool.ts";
import { leaseOfShard } from "../src/sweep/rows.ts";
import { settle, type Ended, type Entry, type Held } from "../src/sweep/settle.ts";
import { failure, value } from "./lifecycle-world.ts";
import { soon, stage } from "./sweep-stage.ts";

test("an attempt is counted of those Items alone that are about to be begun", async (t) => {
  const here = await stage(t, 20);
  const sweepId = await here.submit("rotate");
  const stop = new AbortController();
  let permits = 0;
  const take = (_path: string, { signal }: { signal?: AbortSignal | undefined } = {}) =>
    ++permits <= 2
      ? Promise.resolve("go" as const)
      : new Promise<"stopped">((resolve) => signal!.addEventListener("abort", () => resolve("stopped")));
  const begun: string[] = [];
  // As if the process ended there.
  const acts = { rotate: (item: string) => (begun.push(item), new Promise<never>(() => {})) };
  void here.run(sweepId, { take, acts, signal: stop.signal });
  await soon(async () => begun.length === 2);
  const counted = (await here.rows(sweepId)).filter(({ attempt }) => attempt > 0);
  assert.deepEqual(
    counted.map(({ item_id, attempt }) => [item_id, attempt]),
    begun.toSorted().map((item) => [item, 1]),
  );
});

test("an Item that was busy when the sweep ended is not begun afterwards", async (t) => {
  const here = await stage(t, 1);
  const [item] = here.items as [string];
  await here.occupy(item, here.clock.now + 1);
  const stop = new AbortController();
  let waited = 0;
  const wait = async () => {
    if (++waited < 3) return;
    stop.abort();
    await here.occupy(item, 0);
  };
  const salvage = { bringInFor: async () => ok(undefined) } as unknown as Salvage;
  const flights = new Flights({ ...here.means, wait }, salvage, async () => assert.fail("nothing is open"));
  let begun = 0;
  const fly = (signal?: AbortSignal) =>
    flights.fly(
      item,
      async () => (begun++, err({ kind: "removing", item_id: item })),
      async () => assert.fail("nothing was begun"),
      signal && { signal },
    );
  assert.equal(failure(await fly(stop.signal)).kind, "busy");
  assert.equal(begun, 0);
  assert.equal(failure(await fly(stop.signal)).kind, "busy", "though it is free now");
  assert.equal(begun, 0);
  assert.equal(failure(await fly()).kind, "removing");
});

test("a sweep hands its end to what it begins, and what was not begun stays as it was", async (t) => {
  const here = await stage(t, 1);
  const sweepId = await here.submit("remove");
  const stop = new AbortController();
  let patience: number | undefined;
  const acts: Parameters<typeof here.run>[1] = {
    signal: stop.signal,
    acts: {
      remove: async (item_id, _reason, { signal, patienceMs } = {}) => {
        patience = patienceMs;
        stop.abort();
        return err(signal?.aborted ? { kind: "busy", item_id } : { kind: "removed", item_id });
      },
    },
  };
  assert.equal(value(await here.run(sweepId, acts)), "stopped");
  const [row] = await here.rows(sweepId);
  assert.deepEqual([row!.outcome, row!.attempt], ["waiting", 0]);
  assert.equal(patience, 1_000);
});

test("an Item over which the program stumbles is tried again later; the others are done", async (t) => {
  const here = await stage(t, 6);
  const sweepId = await here.submit("rotate");
  const bad = here.items[2]!;
  const acts: Parameters<typeof here.run>[1] = {
    acts: {
      rotate: async (...asked) => {
        if (asked[0] === bad) throw new TypeError("a secret may be in here");
        return here.keeper.rotate(asked[0], { from: asked[1] });
      },
    },
  };
  assert.equal(value(await here.run(sweepId, acts)), "later");
  for (const { item_id, outcome, result } of await here.rows(sweepId)) {
    assert.equal(outcome, item_id === bad ? "unfinished" : "done");
    if (item_id !== bad) continue;
    assert.match(result!, /"kind":"database".*TypeError/);
    assert.doesNotMatch(result!, /secret/);
  }
});

test("Items that cannot be made ready are a failure of the shard, also while others are out", async (t) => {
  const here = await stage(t, 12);
  const sweepId = await here.submit("audit");
  const held = await heldBy(here, sweepId);
  const stumbled = Promise.withResolvers<void>();
  let prepared = 0;
  const operation: Operation<Entry> = {
    async prepare(_held, entries) {
      if (prepared++ === 0) return ok({ ended: [], ready: entries });
      stumbled.resolve();
      throw new RangeError("no");
    },
    async act(_held, entry) {
      if (entry.position > 0) await stumbled.promise;
      return doneOf(entry);
    },
    undone: doneOf,
  };
  const budget = { take: async () => "go" as const, refused: () => {} };
  const ground = { means: here.means, budget, patience: { attempts: 1, pauseMs: 1 } };
  const permits = { waiting: 0, next: async () => {} };
  const passed = await pass(ground, operation, held, { inFlight: 3, permits, chunks: new Map() });
  const said = failure(passed);
  assert.ok(said.kind === "database" && /RangeError/.test(said.database.detail!), JSON.stringify(said));
});

test("a settling that is done again after a deadlock counts once", async (t) => {
  const here = await stage(t, 2);
  const sweepId = await here.submit("audit");
  const held = await heldBy(here, sweepId);
  const { database } = here.means;
  const transaction = (async (work: (sql: Sql) => Promise<never>, options: object) => {
    await database.transaction(async (sql) => (await work(sql), err("deadlock")), options);
    return database.transaction(work, options);
  }) as typeof database.transaction;
  const ended = (await here.rows(sweepId)).map((row): Ended => ({
    entry: { ...row, now: null },
    outcome: "failed",
    attempt: 1,
    tally: ["retry"],
  }));
  value(await settle({ ...here.means, database: { ...database, transaction } }, held, ended));
  const status = value(await here.keeper.sweeps.status(sweepId));
  assert.deepEqual([status.failed, status.failures], [2, { retry: 2 }]);
  assert.deepEqual(held.tally, { retry: 2 });
});

test("whoever has lost the shard writes down no acknowledgement", async (t) => {
  const here = await stage(t, 2);
  const sweepId = await here.submit("webhook", { webhook: "https://new.example/plaid" });
  const { database } = here.means;
  const name = leaseOfShard(sweepId, 0);
  let stolen = false;
  const read: typeof database.read = async (work, options) => {
    const came = await database.read(work, options);
    const isMoved = (await here.rows(sweepId)).every(({ outcome }) => outcome === "done");
    if (!stolen && isMoved) {
      stolen = true;
      await here.sandbox.control.webhooks.idle();
      await here.sql.updateTable("leases").set({ until_ms: 0 }).where("name", "=", name).execute();
      assert.ok(await claimLease(here.sql, { name, holder: "thief", now: 1, forMs: here.clock.now }));
    }
    return came;
  };
  assert.equal(value(await here.run(sweepId, { means: { database: { ...database, read } } })), "lost");
  assert.ok(stolen);
  for (const { acknowledged_at } of await here.rows(sweepId)) assert.equal(acknowledged_at, null);
});

const doneOf = (entry: Entry): Ended => ({ entry, outcome: "done", attempt: 1 });

/** The first shard of a sweep, held by this process. */
async function heldBy({ sql, clock }: Awaited<ReturnType<typeof stage>>, sweepId: number): Promise<Held> {
  const name = leaseOfShard(sweepId, 0);
  const lease = await claimLease(sql, { name, holder: "stage", now: clock.now, forMs: 60_000 });
  return {
    lease: lease!,
    sweep: await sql
      .selectFrom("sweeps")
      .selectAll()
      .where("sweep_id", "=", sweepId)
      .executeTakeFirstOrThrow(),
    shard: await sql
      .selectFrom("shards")
      .selectAll()
      .where("sweep_id", "=", sweepId)
      .executeTakeFirstOrThrow(),
    parameters: { acknowledgeWithinMs: 1, silentAfterMs: 1, unusedAfterMs: 1 },
    signal: new AbortController().signal,
    tally: {},
    tick: () => {},
  };
}
