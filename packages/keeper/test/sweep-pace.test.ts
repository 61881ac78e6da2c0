// How a worker keeps to what it may use: no permit is lost, no Item is held for long before its call, and what fails for
// long is left for longer and longer.

import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { sql as raw } from "kysely";
import { ok } from "sett";
import type { Means } from "../src/lifecycle/means.ts";
import type { Ground } from "../src/sweep/pool.ts";
import { Setbacks } from "../src/sweep/pace.ts";
import { createWorker } from "../src/sweep/worker.ts";
import { failure, value } from "./lifecycle-world.ts";
import { leased, soon, stage } from "./sweep-stage.ts";
import { quick, until } from "./sweep-world.ts";

const webhook = "https://new.example/plaid";

test("webhooks at a low allowance: every permit becomes a call, and few Items are held meanwhile", async (t) => {
  const here = await stage(t, 30);
  const { clock, calls } = here;
  const sweepId = await here.submit("webhook", { webhook, acknowledgeWithinMs: 1 });
  let permits = 0;
  const held: number[] = [];
  let turn: Promise<unknown> = Promise.resolve();
  // One permit in 20 seconds: a lease would not last for four.
  const take = () =>
    (turn = turn.then(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      held.push(await leased(here));
      clock.now += 20_000;
      permits++;
    })).then(() => "go" as const);
  value(await here.run(sweepId, { take }));
  const rows = await here.rows(sweepId);
  assert.deepEqual(new Set(rows.map(({ outcome }) => outcome)), new Set(["done"]));
  assert.deepEqual([permits, calls.length], [30, 30]);
  assert.ok(Math.max(...held) <= 8, `held were ${held}`);
  assert.ok(Math.max(...held.slice(10)) <= 2, `held were ${held}`);
});

test("without a limit Items are made ready by the dozen, well ahead of their calls", async (t) => {
  const here = await stage(t, 40);
  const sweepId = await here.submit("webhook", { webhook, acknowledgeWithinMs: 1 });
  const gate = Promise.withResolvers<void>();
  const { post } = here.means.plaid;
  const plaid: Means["plaid"] = {
    ...here.means.plaid,
    post: async (...asked) => (await gate.promise, post!(...asked)),
  };
  let sets = 0;
  const { database } = here.means;
  const transaction: typeof database.transaction = (work, options) => (
    sets++,
    database.transaction(work, options)
  );
  const running = here.run(sweepId, {
    inFlight: 16,
    means: { plaid, database: { ...database, transaction } },
  });
  await soon(async () => (await leased(here)) >= 28);
  // The shard's lease, and 4, 8 and 16 Items.
  assert.deepEqual([sets, here.calls.length], [4, 0]);
  gate.resolve();
  value(await running);
});

test("an Item that somebody took while its permit was waited for leaves the permit to the next", async (t) => {
  const here = await stage(t, 6);
  const { clock, calls } = here;
  const sweepId = await here.submit("webhook", { webhook, acknowledgeWithinMs: 1 });
  let permits = 0;
  const take = async () => {
    clock.now += 45_000;
    if (permits++ === 0) await here.occupy((await here.rows(sweepId))[0]!.item_id, clock.now + 60_000);
    return "go" as const;
  };
  assert.equal(value(await here.run(sweepId, { take, inFlight: 1 })), "later");
  const [first, ...others] = await here.rows(sweepId);
  assert.deepEqual(
    [first!.outcome, first!.result],
    ["unfinished", `{"kind":"busy","item_id":"${first!.item_id}"}`],
  );
  assert.deepEqual(new Set(others.map(({ outcome }) => outcome)), new Set(["done"]));
  assert.deepEqual([permits, calls.length], [5, 5]);
});

test("a shard that cannot be worked on is left for longer and longer, up to some minutes", async (t) => {
  const here = await stage(t, 1);
  const { clock, sql } = here;
  const bad = await here.submit("audit", { note: "bad" });
  const { detail } = await sql.selectFrom("sweeps").select("detail").executeTakeFirstOrThrow();
  const broken = Buffer.from(detail);
  broken[broken.length - 1]! ^= 1;
  await sql.updateTable("sweeps").set({ detail: broken }).execute();
  const pauses: number[] = [];
  for (let times = 0; times < 9; times++) {
    assert.equal(failure(await here.run(bad)).kind, "vault");
    pauses.push((await here.dueAt(bad)) - clock.now);
    assert.equal(value(await here.run(bad)), "none", "it is not due");
    clock.now = await here.dueAt(bad);
  }
  assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000]);
  await sql.updateTable("sweeps").set({ detail }).execute();
  assert.equal(value(await here.run(bad)), "closed");
});

test("a sweep that cannot be worked on does not keep back the next one", async (t) => {
  const here = await stage(t, 8);
  const { keeper, sql } = here;
  const bad = await here.submit("audit", { note: "bad", shardSize: 1 });
  await sql
    .updateTable("sweeps")
    .set({ detail: Buffer.from("broken") })
    .execute();
  const good = await here.submit("audit", { silentAfterMs: 1e9, shardSize: 1 });
  let problems = 0;
  const worker = keeper.sweeps.work({ ...quick, onProblem: () => problems++ });
  await until(keeper, good);
  await worker.close();
  assert.equal(value(await keeper.sweeps.status(bad)).done, 0);
  assert.ok(problems <= 16, `it was tried ${problems} times`);
});

test("where outcomes cannot be written Plaid is asked again after a pause", async (t) => {
  const here = await stage(t, 3);
  const { clock, calls, sql } = here;
  const sweepId = await here.submit("audit");
  await raw`create trigger full before update of done on shards begin select raise(abort, 'full'); end`.execute(
    sql,
  );
  assert.equal(failure(await here.run(sweepId)).kind, "database");
  assert.equal(await here.dueAt(sweepId), clock.now + 1_000);
  assert.equal(value(await here.run(sweepId)), "none");
  assert.equal(calls.length, 3);
  await raw`drop trigger full`.execute(sql);
  clock.now += 1_000;
  assert.equal(value(await here.run(sweepId)), "closed");
});

test("a shard whose pause cannot be written either is left all the same", async (t) => {
  const here = await stage(t, 2);
  await here.submit("audit", { shardSize: 1 });
  const polls = Promise.withResolvers<void>();
  let [polled, tried] = [0, 0];
  const { database } = here.means;
  const ground = {
    means: {
      ...here.means,
      database: {
        ...database,
        transaction: (async () => {
          if (++tried > 10) polls.resolve();
          return { ok: false, error: { kind: "unavailable", committed: "no" } };
        }) as unknown as typeof database.transaction,
      },
      wait: async () => {
        if (++polled === 50) polls.resolve();
      },
    },
  } as unknown as Ground;
  const worker = createWorker(ground, undefined, {});
  await polls.promise;
  await worker.close();
  assert.equal(tried, 2);
});

test("failures of some shards in a row are their sweep's; one that goes well ends the row", () => {
  const setbacks = new Setbacks(() => 0);
  assert.deepEqual(
    [0, 1, 2].map((number) => setbacks.failed(1, number)),
    [1_000, 2_000, 4_000],
  );
  assert.equal(setbacks.failed(2, 0), 1_000, "another sweep's");
  assert.deepEqual([setbacks.isLeft(1, 2), setbacks.isLeft(1, 3)], [true, false]);
  setbacks.went(1, 2);
  assert.equal(setbacks.isLeft(1, 2), false);
  assert.deepEqual([setbacks.failed(1, 2), setbacks.failed(1, 1)], [1_000, 2_000]);
});

test("a worker without work keeps nothing of its polls", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  let polls = 0;
  const ground = {
    means: {
      now: () => 0,
      database: { name: "sqlite", read: async () => ok([]) },
      wait: () => (polls++, new Promise((resolve) => setImmediate(resolve))),
    },
  } as unknown as Ground;
  const worker = createWorker(ground, undefined, {});
  const sizeAfter = async (count: number) => {
    await soonSync(() => polls >= count);
    gc();
    return process.memoryUsage().heapUsed;
  };
  const before = await sizeAfter(1_000);
  const grown = (await sizeAfter(41_000)) - before;
  await worker.close();
  assert.ok(grown < 2_000_000, `40 000 polls left ${grown} bytes`);
});

const soonSync = async (isSo: () => boolean) => {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
};
