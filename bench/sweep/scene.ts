// One bench of sweeps from beginning to end: a PostgreSQL of its own, a keeper that fills it, submits and looks on, and
// the processes that work.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pooledPost } from "sett/node";
import type { Keeper, SweepOptions, SweepStatus } from "@sett/keeper";
import { startPostgres } from "../../test/postgres/start.ts";
import { fill, keeperAt, must, type Place } from "./fleet.ts";
import { startProgram, type Program } from "./program.ts";
import type { Tempo } from "./tempo.ts";
import type { Worked, WorkOrder } from "./worker.ts";

type Operation = Parameters<Keeper["sweep"]>[0];

export interface Scene {
  readonly place: Place;
  readonly keeper: Keeper;
  fill(count: number, from?: number): Promise<void>;
  workers(
    count: number,
    order: Pick<WorkOrder, "share" | "inFlight" | "plainHeap">,
    file?: string,
  ): Promise<Program<"ready" | Worked>[]>;
  /** Submits, waits for the end, and says how long it took, from the first Item begun to the last settled. */
  sweep(operation: Operation, options?: Omit<SweepOptions, "dryRun">): Promise<Swept>;
}

export interface Swept {
  readonly status: SweepStatus;
  readonly submitMs: number;
  /** Real time from submitting to the end. */
  readonly ms: number;
}

/** How often the end is looked for; what a sweep takes is known so closely. */
const lookMs = 50;

export async function withScene<Value>(
  name: string,
  { baseUrl, tempo }: { readonly baseUrl: string; readonly tempo?: Tempo },
  work: (scene: Scene) => Promise<Value>,
): Promise<Value> {
  const root = await mkdtemp(join(tmpdir(), "sett-bench-sweep-"));
  const postgres = await startPostgres();
  const url = await postgres.createDatabase(name);
  const ring = `sett-kek-1:${randomBytes(32).toString("base64url")}`;
  const place = { url, folder: join(root, "escrow"), ring, baseUrl, ...(tempo && { tempo }) };
  const keeper = await keeperAt(place, pooledPost(), { budget: false });
  try {
    return await work({
      place,
      keeper,
      fill: (count, from) => fill(keeper, url, count, from),
      async workers(count, order, file = "worker.ts") {
        const started = Array.from({ length: count }, () =>
          startProgram<WorkOrder, "ready" | Worked>(file, { ...place, ...order }),
        );
        for (const worker of started) await worker.next();
        return started;
      },
      async sweep(operation, options = {}) {
        const begun = performance.now();
        const { sweep_id } = must(await keeper.sweep(operation, options));
        const submitMs = performance.now() - begun;
        for (;;) {
          const status = must(await keeper.sweeps.status(sweep_id));
          if (status.ended_at !== null) return { status, submitMs, ms: performance.now() - begun };
          await sleep(lookMs);
        }
      },
    });
  } finally {
    await keeper.close();
    await postgres.stop();
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Ends workers, and gives what they have to say. */
export async function stopped(workers: readonly Program<"ready" | Worked>[]): Promise<Worked[]> {
  const said: Worked[] = [];
  for (const worker of workers) worker.send({});
  for (const worker of workers) {
    const worked = (await worker.next()) as Worked;
    if (worked.problems.length > 0) console.error(worked.problems.slice(0, 3).join("\n"));
    said.push(worked);
    await worker.end();
  }
  return said;
}
