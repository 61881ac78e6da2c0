// When an Item was used is known to the day, costs one write a day, and lets an audit name what is billed for nobody.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Keeper } from "../src/keeper.ts";
import { countedSince, createUsage } from "../src/lifecycle/usage.ts";
import { keeperStage } from "./keeper-stage.ts";
import { value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { quick, reported, until } from "./sweep-world.ts";

const { places, escrowFolder } = testPlaces("usage");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const usedAt = async (keeper: Keeper, itemId: string) => value(await keeper.find(itemId)).used_at;

for (const [name, empty] of Object.entries(places)) {
  describe(`usage: ${name}`, () => {
    test("a use is written down once a day, whether the work succeeds or not; the keeper's own calls are none", async () => {
      const stage = await keeperStage(await empty(), escrowFolder());
      let keeper = await stage.reopen();
      const itemId = await stage.link(keeper);
      const { clock } = stage;
      value(await keeper.get(itemId));
      value(await keeper.rotate(itemId));
      keeper = await stage.reopen();
      assert.equal(await usedAt(keeper, itemId), null);

      const first = clock.now();
      value(await keeper.use(itemId, async () => "used"));
      keeper = await stage.reopen();
      assert.equal(await usedAt(keeper, itemId), first);
      const { revision } = value(await keeper.find(itemId));

      await clock.advance(23 * HOUR);
      value(await keeper.use(itemId, async () => "used"));
      keeper = await stage.reopen();
      assert.equal(await usedAt(keeper, itemId), first, "it is known to the day");

      await clock.advance(HOUR);
      await assert.rejects(
        keeper.use(itemId, async () => {
          throw new Error("of the work");
        }),
        /of the work/,
      );
      keeper = await stage.reopen();
      assert.equal(await usedAt(keeper, itemId), clock.now());
      assert.equal(
        value(await keeper.find(itemId)).revision,
        revision,
        "it is no change of the Item's state",
      );
      await stage.close();
    });

    test("closing waits for a write that is under way", async () => {
      const stage = await keeperStage(await empty(), escrowFolder());
      const keeper = await stage.reopen();
      const itemId = await stage.link(keeper);
      let written = 0;
      const { database } = keeper;
      const read: typeof database.read = async (work) => {
        const result = await database.read(work);
        written++;
        return result;
      };
      const watched = Object.assign(Object.create(database) as typeof database, { read });
      const usage = createUsage({ database: watched, now: () => 7, wait: () => Promise.resolve() });
      usage.lent(itemId, null);
      await Promise.resolve();
      await usage.close();
      assert.equal(written, 1);
      assert.equal(await usedAt(keeper, itemId), 7);
      await stage.close();
    });

    test("many uses at once are one statement, and each Item has its time", async () => {
      const stage = await keeperStage(await empty(), escrowFolder());
      let keeper = await stage.reopen();
      const ids: string[] = [];
      for (let number = 0; number < 20; number++) ids.push(await stage.link(keeper));
      await Promise.all([...ids, ...ids].map((id) => keeper.use(id, async () => id)));
      keeper = await stage.reopen();
      for (const id of ids) assert.equal(await usedAt(keeper, id), stage.clock.now());
      await stage.close();
    });

    test("an audit finds what is billed and used by nobody, and only what is known", async () => {
      const stage = await keeperStage(await empty(), escrowFolder(), { budget: false });
      let keeper = await stage.reopen();
      const { clock } = stage;
      const found = async (options = {}) => {
        const { sweep_id } = value(await keeper.sweep("audit", { silentAfterMs: 1_000 * DAY, ...options }));
        const worker = keeper.sweeps.work(quick);
        const { findings } = await until(keeper, sweep_id);
        await worker.close();
        const rows = (await reported(keeper, sweep_id)).filter((row) =>
          row.findings.some(({ kind }) => kind === "unused"),
        );
        assert.equal(rows.length, findings.unused ?? 0);
        return new Map(rows.map((row) => [row.item_id, row]));
      };
      const [never, once] = [await stage.link(keeper), await stage.link(keeper)];
      value(await keeper.use(once, async () => "used"));
      keeper = await stage.reopen();
      const linked = clock.now();
      const later = async (days: number) => {
        await clock.advance(days * DAY);
        keeper = await stage.reopen();
      };
      await later(20);
      value(await keeper.use(once, async () => "used"));
      assert.deepEqual([...(await found()).keys()], []);
      await later(41);
      const after61 = await found();
      assert.deepEqual([...after61.keys()], [never]);
      const { what, todo, findings } = after61.get(never)!;
      assert.match(what, /It is billed for transactions, and nobody has ever used it\./);
      assert.match(todo!, /Use it, or remove it/);
      assert.deepEqual(
        findings.filter(({ kind }) => kind === "unused"),
        [{ kind: "unused", billed: ["transactions"], used_at: null }],
      );
      const soon = await found({ unusedAfterMs: 30 * DAY });
      assert.deepEqual([...soon.keys()].sort(), [never, once].sort());
      assert.match(soon.get(once)!.what, /nobody has used it since 2026-01-21\./);

      // As in a database that did not count before.
      await keeper.database.sql
        .updateTable("migrations")
        .set({ applied_at: linked + 30 * DAY })
        .where("number", "=", countedSince)
        .execute();
      assert.deepEqual([...(await found()).keys()], []);
      await stage.close();
    });
  });
}
