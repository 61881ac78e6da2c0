// What is only of the past goes, all of it and nothing else, wherever it was broken off; whatever says something of an
// Item stays.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Keeper } from "../src/keeper.ts";
import type { PruneOptions } from "../src/prune.ts";
import { failure, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { fleet, quick, reported, until, type Fleet } from "./sweep-world.ts";
import { soon } from "./sweep-stage.ts";

const { places, escrowFolder } = testPlaces("prune");
const DAY = 24 * 3_600_000;
const tables = [
  "sweeps",
  "shards",
  "sweep_items",
  "intents",
  "events",
  "leases",
  "items",
  "deliveries",
] as const;

/** All rows of a table, as texts. */
const rowsOf = async ({ database }: Keeper, table: (typeof tables)[number]) =>
  (await database.sql.selectFrom(table).selectAll().execute()).map((row) => JSON.stringify(row)).sort();
const everything = async (keeper: Keeper) =>
  Object.fromEntries(
    await Promise.all(tables.map(async (table) => [table, await rowsOf(keeper, table)] as const)),
  );

/** A fleet with a past: an audit, webhooks moved and rolled back, a paused rotation, and at last another audit. */
async function withPast(url: string) {
  const world = await fleet(url, escrowFolder(), 5);
  const { keeper } = world;
  const worker = keeper.sweeps.work(quick);
  const over = async (submitted: { readonly sweep_id: number }) => {
    await until(keeper, submitted.sweep_id);
    return submitted.sweep_id;
  };
  const audit = await over(value(await keeper.sweep("audit")));
  const moved = await over(
    value(await keeper.sweep("webhook", { webhook: "https://new.example/plaid", shardSize: 2 })),
  );
  const back = await over(value(await keeper.sweeps.rollback(moved)));
  await worker.close();
  const paused = value(await keeper.sweep("rotate")).sweep_id;
  value(await keeper.sweeps.pause(paused));
  const cancelled = value(
    await keeper.sweep("rotate", { selection: { userId: "u_1" }, shardSize: 2 }),
  ).sweep_id;
  value(await keeper.sweeps.cancel(cancelled));
  await world.sandbox.control.webhooks.idle();
  /** The same keeper so many days later. */
  const later = (days: number) => world.another({ now: () => Date.now() + days * DAY });
  return { ...world, audit, moved, back, paused, cancelled, later };
}

const lately = (days: number): PruneOptions => ({ before: Date.now() + (days - 1) * DAY - 60_000 });

const unharmed = async (world: Fleet, keeper: Keeper) => {
  for (const itemId of world.items) {
    const token = world.sandbox.control.items.get(itemId).access_token;
    assert.equal(value(await keeper.use(itemId, async (lent) => lent === token)), true);
  }
  assert.deepEqual(await violations(world.sandbox, keeper, { removals: new Set() }), []);
};

for (const [name, empty] of Object.entries(places)) {
  describe(`pruning: ${name}`, () => {
    test("sweeps that are over go whole, but for the latest; what is open stays, and so does the history", async () => {
      const world = await withPast(await empty());
      const { keeper, audit, moved, back, paused, cancelled } = world;
      const before = await everything(keeper);
      const open = await reported(keeper, paused);
      const after = await world.later(100);
      const pruned = value(await after.prune(lately(100)));
      assert.equal(pruned.sweeps, 3);
      assert.equal(pruned.sweepItems, 15);
      assert.equal(pruned.whole, true);

      const left = value(await after.sweeps.list()).map(({ sweep_id }) => sweep_id);
      assert.deepEqual(left, [cancelled, paused]);
      for (const gone of [audit, moved, back])
        assert.equal(failure(await after.sweeps.status(gone)).kind, "unknown-sweep");
      assert.deepEqual(await reported(after, paused), open);
      const now = await everything(after);
      assert.equal(now["sweep_items"]!.length, before["sweep_items"]!.length - 15);
      for (const table of ["shards", "leases"] as const)
        assert.ok(!now[table]!.some((row) => /"sweep_id":[123],|"sweep [123] /.test(row)), table);
      assert.deepEqual(now["items"], before["items"]);

      const changes = (rows: readonly string[]) =>
        rows.filter((row) => !row.includes('"kind":"webhook"') && !row.includes('"kind":"sweep.pruned"'));
      assert.deepEqual(changes(now["events"]!), changes(before["events"]!));
      assert.equal(now["events"]!.filter((row) => row.includes('"kind":"sweep.pruned"')).length, 3);
      assert.equal(
        pruned.webhooks,
        before["events"]!.filter((row) => row.includes('"kind":"webhook"')).length,
      );
      assert.ok(pruned.webhooks >= world.items.length);

      value(await after.sweeps.resume(paused));
      assert.equal(
        value(await after.sweep("audit")).sweep_id,
        cancelled + 1,
        "a number is never given twice",
      );
      const worker = after.sweeps.work(quick);
      assert.equal((await until(after, paused)).done, world.items.length);
      await worker.close();
      await unharmed(world, after);
      await world.close();
    });

    test("a sweep that is being rolled back stays", async () => {
      const world = await fleet(await empty(), escrowFolder(), 2);
      const { keeper } = world;
      const moved = value(await keeper.sweep("webhook", { webhook: "https://new.example/plaid" })).sweep_id;
      const worker = keeper.sweeps.work(quick);
      await until(keeper, moved);
      await worker.close();
      const back = value(await keeper.sweeps.rollback(moved)).sweep_id;
      value(await keeper.sweep("audit"));
      const after = await world.another({ now: () => Date.now() + 100 * DAY });
      assert.equal(value(await after.prune({ ...lately(100), dryRun: true })).sweeps, 0);
      assert.equal(value(await after.prune(lately(100))).sweeps, 0);
      assert.equal((await reported(after, moved)).length, 2);
      value(await after.sweeps.cancel(back));
      assert.equal(value(await after.prune(lately(100))).sweeps, 0, "it ended only now");
      const muchLater = await world.another({ now: () => Date.now() + 200 * DAY });
      assert.equal(value(await muchLater.prune(lately(200))).sweeps, 2);
      await world.close();
    });

    test("a dry run says what would go, and nothing goes", async () => {
      const world = await withPast(await empty());
      const after = await world.later(100);
      const before = await everything(after);
      const dry = value(await after.prune({ ...lately(100), dryRun: true }));
      assert.deepEqual(await everything(after), before);
      assert.deepEqual(value(await after.prune(lately(100))), dry);
      assert.deepEqual(value(await after.prune(lately(100))), {
        ...dry,
        sweeps: 0,
        sweepItems: 0,
        intents: 0,
        webhooks: 0,
      });
      await world.close();
    });

    test("broken off after any page, it goes on the next time to the same end", async () => {
      const world = await withPast(await empty());
      const after = await world.later(100);
      const dry = value(await after.prune({ ...lately(100), dryRun: true }));
      const sum = { sweeps: 0, sweepItems: 0, intents: 0, webhooks: 0 };
      let rounds = 0;
      for (let whole = false; !whole; rounds++) {
        assert.ok(rounds < 50);
        const off = new AbortController();
        const some = value(
          await after.prune({
            ...lately(100),
            signal: off.signal,
            onProgress: (soFar) => {
              if (Object.values(soFar).some((rows) => rows > 0)) off.abort();
            },
          }),
        );
        ({ whole } = some);
        for (const kind of Object.keys(sum) as (keyof typeof sum)[]) sum[kind] += some[kind];
      }
      assert.ok(rounds > 3, `${rounds} rounds`);
      assert.deepEqual({ ...sum, unread: [], whole: true }, dry);
      await unharmed(world, after);
      await world.close();
    });

    test("what a subscriber has not had yet stays, and it is named", async () => {
      const world = await withPast(await empty());
      const after = await world.later(100);
      const had: number[] = [];
      after.subscribe("quick", () => {});
      after.subscribe("slow", ({ seq }) => {
        if (had.length === 4) throw new Error("no more today");
        had.push(seq);
      });
      const stand = async () =>
        new Map(
          (await after.database.sql.selectFrom("cursors").selectAll().execute()).map((row) => [
            row.subscriber,
            row.seq,
          ]),
        );
      const last = (
        await after.database.sql.selectFrom("events").select("seq").orderBy("seq", "desc").execute()
      )[0]!.seq;
      await soon(async () => (await stand()).get("quick") === last && had.length >= 4);
      const reached = (await stand()).get("slow")!;
      const webhooks = async () =>
        (
          await after.database.sql
            .selectFrom("events")
            .select("seq")
            .where("kind", "=", "webhook")
            .orderBy("seq")
            .execute()
        ).map(({ seq }) => seq);
      const before = await webhooks();
      assert.ok(before.some((seq) => seq > reached));
      const pruned = value(await after.prune(lately(100)));
      assert.deepEqual(pruned.unread, ["slow"]);
      assert.deepEqual(
        await webhooks(),
        before.filter((seq) => seq > reached),
      );
      await world.close();
    });

    test("intents: the settled ones of more than 30 days ago, page after page; never one that is open, lost or stranded", async () => {
      const world = await fleet(await empty(), escrowFolder(), 2);
      const { sql } = world.keeper.database;
      const opened_at = Date.now();
      const row = (what: string, number: number) => ({
        intent_id: `${String(number).padStart(6, "0")} ${what}`,
        environment: "sandbox" as const,
        kind: "rotate" as const,
        item_id: `nobody ${number}`,
        opened_at,
        ...(what !== "open" && {
          settled_at: opened_at,
          outcome: what as "done" | "not-done" | "lost" | "stranded",
        }),
      });
      const kinds = ["done", "not-done", "lost", "open", "stranded"];
      for (let from = 0; from < 5_000; from += 500)
        await sql
          .insertInto("intents")
          .values(Array.from({ length: 500 }, (_, at) => row(kinds[at % 5]!, from + at)))
          .execute();
      const tenDays = await world.another({ now: () => Date.now() + 10 * DAY });
      assert.equal(value(await tenDays.prune(lately(10))).intents, 0);
      const after = await world.another({ now: () => Date.now() + 40 * DAY });
      const told: number[] = [];
      const pruned = value(
        await after.prune({ ...lately(40), onProgress: ({ intents }) => told.push(intents) }),
      );
      assert.equal(pruned.intents, 2_002, "with the two that linked the fleet");
      assert.ok(new Set(told).size > 2, "told of each page");
      const left = await sql.selectFrom("intents").select("intent_id").execute();
      assert.equal(left.length, 3_000);
      assert.ok(!left.some(({ intent_id }) => / (not-)?done$/.test(intent_id)));
      await world.close();
    });

    test("times that cannot be meant are refused", async () => {
      const world = await fleet(await empty(), escrowFolder(), 0);
      for (const before of [
        Date.now(),
        Date.now() - DAY / 2,
        NaN,
        Infinity,
        "yesterday" as never,
        undefined as never,
      ])
        await assert.rejects(() => world.keeper.prune({ before }), TypeError);
      await world.close();
    });
  });
}
