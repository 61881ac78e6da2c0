// Whatever order submit, pause, resume, cancel, more workers, and workers that end or lose everything come in, a sweep
// stands where a small model says, and in the end every Item of it is settled once or named as not begun.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Keeper } from "../src/keeper.ts";
import type { Worker } from "../src/sweep/worker.ts";
import { failure, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { fleet, quick, reported, until } from "./sweep-world.ts";

const { places, escrowFolder } = testPlaces("sweep-random");
const size = 5;

/** What a sweep's state may be, as far as can be known while workers are at it. */
interface Model {
  readonly sweep_id: number;
  readonly state: "going" | "paused" | "cancelled";
}

type Step = "submit" | "pause" | "resume" | "cancel" | "worker" | "close" | "forget" | "breathe";
const steps: readonly Step[] = [
  "submit",
  "submit",
  "pause",
  "resume",
  "resume",
  "cancel",
  "worker",
  "worker",
  "close",
  "forget",
  "breathe",
  "breathe",
];

for (const name of ["SQLite", "PostgreSQL"] as const) {
  test(`${name}: any order of events leaves a sweep where the model says`, async (t) => {
    const world = await fleet(await places[name](), escrowFolder(), size);
    t.after(() => world.close());
    const { keeper } = world;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...steps), { minLength: 3, maxLength: 14 }),
        async (events) => {
          let model: Model | undefined;
          const workers: Worker[] = [];
          const versions = await versionsOf(keeper);
          const sweeps = new Set<number>();
          const isOver = async () =>
            model !== undefined && value(await keeper.sweeps.status(model.sweep_id)).state === "done";

          for (const event of events) {
            const over = await isOver();
            switch (event) {
              case "submit": {
                const sweep = value(await keeper.sweep("rotate", { shardSize: 2 }));
                sweeps.add(sweep.sweep_id);
                if (model && model.state !== "cancelled" && !over && sweep.sweep_id !== model.sweep_id)
                  assert.ok(await isOver(), "a second sweep, and the first is not over");
                if (sweep.again) assert.equal(sweep.sweep_id, model?.sweep_id);
                else model = { sweep_id: sweep.sweep_id, state: "going" };
                break;
              }
              case "pause":
              case "resume":
              case "cancel": {
                if (!model) break;
                const came = await keeper.sweeps[event](model.sweep_id);
                const asked = event === "resume" ? "going" : event === "pause" ? "paused" : "cancelled";
                if (came.ok) {
                  assert.ok(model.state !== "cancelled" || asked === "cancelled");
                  model = { ...model, state: asked };
                } else {
                  const { kind } = failure(came);
                  assert.equal(kind, "wrong-state");
                  assert.ok(model.state === "cancelled" || (await isOver()));
                }
                break;
              }
              case "worker":
                workers.push(keeper.sweeps.work({ ...quick, shards: 1, inFlight: 2, leaseMs: 500 }));
                break;
              case "close":
                await workers.shift()?.close();
                break;
              case "forget":
                // As if whoever has a shard had been asleep until its lease ran out: another takes over.
                await keeper.database.sql
                  .updateTable("leases")
                  .set({ until_ms: 0 })
                  .where("name", "like", "sweep %")
                  .execute();
                break;
              case "breathe":
                await new Promise((resolve) => setTimeout(resolve, 15));
            }
            if (!model) continue;
            const { state } = value(await keeper.sweeps.status(model.sweep_id));
            const may = {
              going: ["waiting", "running", "done"],
              paused: ["paused"],
              cancelled: ["cancelled"],
            };
            assert.ok(
              may[model.state].includes(state),
              `${model.state} in the model, ${state} in the database`,
            );
          }

          if (model?.state === "paused") value(await keeper.sweeps.resume(model.sweep_id));
          const last = keeper.sweeps.work(quick);
          const done = new Map<string, number>();
          for (const sweep_id of sweeps) {
            await until(keeper, sweep_id);
          }
          await Promise.all([...workers, last].map((worker) => worker.close()));
          for (const sweep_id of sweeps) {
            const status = value(await keeper.sweeps.status(sweep_id));
            const rows = await reported(keeper, sweep_id);
            assert.equal(rows.length, size);
            const count = (outcome: string) => rows.filter((row) => row.outcome === outcome).length;
            assert.deepEqual(
              [status.done, status.skipped, status.failed],
              [count("done"), count("skipped"), count("failed")],
            );
            if (status.state === "done") assert.equal(status.waiting, 0);
            assert.equal(status.failed, 0);
            // What one that was cancelled still had out, the next one finds done by others.
            if (sweeps.size === 1) assert.equal(status.skipped, 0);
            for (const { item_id, outcome } of rows)
              if (outcome === "done") done.set(item_id, (done.get(item_id) ?? 0) + 1);
          }
          // A sweep rotates an Item once; what a cancelled one began and did not come to write down is at most once more.
          const now = await versionsOf(keeper);
          for (const item of world.items) {
            const turns = now.get(item)! - versions.get(item)!;
            const told = done.get(item) ?? 0;
            assert.ok(
              turns >= told && turns <= sweeps.size,
              `${turns} rotations, ${told} in ${sweeps.size} sweeps`,
            );
          }
        },
      ),
      { numRuns: 12, seed: 20_261_125 },
    );
  });
}

const versionsOf = async (keeper: Keeper) =>
  new Map(value(await keeper.list()).items.map(({ item_id, token_version }) => [item_id, token_version]));
