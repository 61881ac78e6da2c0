// A webhook that nobody has asked Plaid about is not known, which is not the same as none.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Sandbox as Make, unwrap } from "sett";
import { institution, publicToken, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { fleet, quick, reported, until, webhookAtPlaid, type Fleet } from "./sweep-world.ts";
import { soon } from "./sweep-stage.ts";

const { places, escrowFolder } = testPlaces("sweep-webhook");
const old = "https://old.example/plaid";
const goal = "https://new.example/plaid";

for (const [name, empty] of Object.entries(places)) {
  describe(`webhooks not known: ${name}`, () => {
    const onFleet = (title: string, play: (world: Fleet) => Promise<void>): void => {
      test(title, async () => {
        const world = await fleet(await empty(), escrowFolder(), 0);
        try {
          await play(world);
        } finally {
          await world.close();
        }
      });
    };
    const tokenAtOld = async ({ plaid }: Fleet) => {
      const { institution_id } = institution;
      const made = await Make.createPublicToken(institution_id, ["transactions"], plaid, { webhook: old });
      return unwrap(made).public_token;
    };
    const link = async (world: Fleet) =>
      value(await world.keeper.link(await tokenAtOld(world), { userId: "u" })).item_id;
    const toEnd = async ({ keeper }: Fleet, sweepId: number) => {
      const worker = keeper.sweeps.work(quick);
      const { done, skipped, failed } = await until(keeper, sweepId);
      await worker.close();
      const rows = new Map((await reported(keeper, sweepId)).map((row) => [row.item_id, row]));
      return { done, skipped, failed, rows };
    };
    const submit = async ({ keeper }: Fleet, webhook: string | null) =>
      value(await keeper.sweep("webhook", { webhook, acknowledgeWithinMs: 1 })).sweep_id;
    const counts = (done: number, skipped: number) => ({ done, skipped, failed: 0 });

    onFleet(
      "what is learned meanwhile is no move, what somebody sets is one; what was not known is not put back",
      async (world) => {
        const { keeper, sandbox, plaid } = world;
        const [learned, never, set] = [await link(world), await link(world), await link(world)];
        const forth = await submit(world, goal);
        await learn(world, learned);
        value(await keeper.updateWebhook(set, "https://mine.example/"));
        const { rows, ...came } = await toEnd(world, forth);
        assert.deepEqual(came, counts(2, 1));
        assert.match(rows.get(set)!.what, /moved by others/);
        for (const item of [learned, never]) assert.equal(await webhookAtPlaid(sandbox, plaid, item), goal);

        // Nobody knows what to put back; the one that is sure to have had none has it again.
        const back = value(await keeper.sweeps.rollback(forth));
        const { rows: left, ...undone } = await toEnd(world, back.sweep_id);
        assert.deepEqual(undone, counts(0, 2));
        assert.match(left.get(never)!.what, /not known where it was before/);
        for (const item of [learned, never]) assert.equal(await webhookAtPlaid(sandbox, plaid, item), goal);
      },
    );

    onFleet("what is known is put back: learned, set, and none", async (world) => {
      const { keeper, sandbox, plaid } = world;
      const [learned, none, bare] = [await link(world), await link(world), await linkBare(world)];
      await learn(world, learned);
      await learn(world, bare);
      value(await keeper.updateWebhook(none, null));
      const forth = await submit(world, goal);
      const { rows: _, ...came } = await toEnd(world, forth);
      assert.deepEqual(came, counts(3, 0));
      const back = value(await keeper.sweeps.rollback(forth));
      const { rows: __, ...undone } = await toEnd(world, back.sweep_id);
      assert.deepEqual(undone, counts(3, 0));
      for (const [item, before] of [
        [learned, old],
        [none, null],
        [bare, null],
      ] as const)
        assert.equal(await webhookAtPlaid(sandbox, plaid, item), before);
    });

    onFleet("taken away is what Plaid has taken away", async (world) => {
      const { sandbox, plaid } = world;
      const [never, known] = [await link(world), await linkBare(world)];
      await learn(world, known);
      const { rows, ...came } = await toEnd(world, await submit(world, null));
      assert.deepEqual(came, counts(1, 1));
      assert.match(rows.get(known)!.what, /there already/);
      assert.equal(await webhookAtPlaid(sandbox, plaid, never), null);
      const { rows: _, ...again } = await toEnd(world, await submit(world, null));
      assert.deepEqual(again, counts(0, 2), "now it is known");
    });

    const linkBare = async ({ keeper, plaid }: Fleet) =>
      value(await keeper.link(await publicToken(plaid), { userId: "u" })).item_id;
    const learn = async ({ keeper }: Fleet, item: string) => {
      value(await keeper.get(item));
      await soon(async () => value(await keeper.find(item)).checked_at !== null);
    };
  });
}
