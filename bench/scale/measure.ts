// Measures what the simulation reckons with, on this machine, and writes figures.json. Plaid is a server that answers at
// once, PostgreSQL one of its own with fsync on.
//
//   node --conditions=@sett/source bench/scale/measure.ts [Items, 50 000 unless told]

import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { reencrypt } from "@sett/keeper";
import { endAll } from "../programs.ts";
import { must, query, tenth } from "../sweep/fleet.ts";
import { startProgram } from "../sweep/program.ts";
import { stopped, withScene, type Scene } from "../sweep/scene.ts";
import type { Figures, Operation } from "./simulate.ts";
import { receiveWebhooks } from "./webhooks.ts";

const items = Number(process.argv[2] ?? 50_000);
if (!(Number.isInteger(items) && items > 0)) throw new TypeError("the number of Items must be a whole one");

const operations = ["audit", "webhook", "rotate", "remove"] as const;
const rates = { 1: {} as Record<Operation, number>, 2: {} as Record<Operation, number> };
let submittedPerSecond = 0;
let reencryptedPerSecond = 0;
let sweepItem = 0;

const server = startProgram<object, string>("answering.ts", {});
try {
  const baseUrl = await server.next();
  await withScene("figures", { baseUrl }, async (scene) => {
    await scene.fill(items);
    for (const workers of [1, 2] as const) {
      if (workers === 2) await scene.fill(items, items);
      for (const operation of operations) {
        const rate = await swept(scene, operation, workers);
        rates[workers][operation] = rate.perSecond;
        submittedPerSecond = Math.max(submittedPerSecond, rate.submitted);
        console.log(`${operation}, ${workers} at work: ${Math.round(rate.perSecond)} a second`);
        if (operation === "webhook" && workers === 1) {
          const size =
            "select pg_total_relation_size('sweep_items')::float8 / count(*) as bytes from sweep_items";
          sweepItem = (await query<{ bytes: number }>(scene.place.url, size))[0]!.bytes;
          reencryptedPerSecond = await reencrypted(scene);
        }
      }
    }
  });
  const { perSecond, itemBytes, eventBytes } = await withScene("webhooks", { baseUrl }, ({ place }) =>
    receiveWebhooks({ ...place, folder: `${place.folder}-receiver` }, 5_000, Math.min(items, 20_000)),
  );

  const whole = (rate: Record<Operation, number>) =>
    Object.fromEntries(
      operations.map((operation) => [operation, Math.round(rate[operation])]),
    ) as typeof rate;
  const best = Object.fromEntries(
    operations.map((operation) => [operation, Math.max(rates[1][operation], rates[2][operation])]),
  ) as Record<Operation, number>;
  const figures: Figures & { readonly on: object } = {
    on: {
      date: new Date().toISOString().slice(0, 10),
      node: process.versions.node,
      cores: availableParallelism(),
      cpu: cpus()[0]?.model ?? null,
      items,
    },
    workerPerSecond: whole(rates[1]),
    settledPerSecond: whole(best),
    webhooksPerSecond: Math.round(perSecond),
    submittedPerSecond: Math.round(submittedPerSecond),
    reencryptedPerSecond: Math.round(reencryptedPerSecond),
    bytes: {
      item: Math.round(itemBytes),
      event: Math.round(eventBytes),
      sweepItem: Math.round(sweepItem),
    },
  };
  const text = `${JSON.stringify(figures, null, 2)}\n`;
  await writeFile(new URL("figures.json", import.meta.url), text);
  console.log(text);
} finally {
  endAll();
}

/** One sweep over all Items that are there, by workers that were there before. */
async function swept(scene: Scene, operation: Operation, count: number) {
  const workers = await scene.workers(count, { share: null, inFlight: 64 });
  const webhook = `https://after-${count}.example/plaid`;
  const { status, ms, submitMs } = await scene.sweep(operation, {
    // Nobody acknowledges here.
    ...(operation === "webhook" && { webhook, acknowledgeWithinMs: 1 }),
    // With an intent, the escrow and a transaction of its own for each Item.
    ...((operation === "rotate" || operation === "remove") && { selection: { institutionId: tenth } }),
  });
  await stopped(workers);
  if (status.done !== status.total)
    throw new Error(`${operation}: ${status.done} of ${status.total} are done`);
  return {
    perSecond: (status.total * 1_000) / (ms - submitMs),
    submitted: (status.total * 1_000) / submitMs,
  };
}

async function reencrypted({ keeper: { vault, database } }: Scene): Promise<number> {
  must(await vault.newEpoch());
  const begun = performance.now();
  const { moved } = must(await reencrypt(vault, database));
  return (moved * 1_000) / (performance.now() - begun);
}
