// What a sweep costs the application's live calls: how long `keeper.get` takes in another process while one goes on at the
// pace that Plaid's allowance gives, and while none does.

import { setTimeout as sleep } from "node:timers/promises";
import type { Comparison } from "../report.ts";
import { median, type Pace } from "../rounds.ts";
import { must } from "./fleet.ts";
import type { Ask, LiveOrder } from "./live.ts";
import { startProgram } from "./program.ts";
import type { SandboxOrder } from "./sandbox.ts";
import { stopped, withScene } from "./scene.ts";
import { newTempo } from "./tempo.ts";

/** Workers see a pause within a second. */
const seenMs = 2_500;
const warmUpMs = 5_000;
const perSecond = 20;
const workers = 4;
/** More than a sweep gets through meanwhile. */
const items = 30_000;

const quantile = (values: readonly number[], part: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(part * values.length))]!;

export async function compareTraffic({ rounds, full }: Pace): Promise<Comparison> {
  const turns = full ? 8 : rounds > 3 ? 4 : 2;
  const forMs = rounds > 3 ? 15_000 : 8_000;
  const tempo = newTempo(1);
  const sandbox = startProgram<SandboxOrder, string>("sandbox.ts", { items, tempo, limits: true });
  const baseUrl = await sandbox.next();
  const waits = { alone: [] as number[][], sweeping: [] as number[][] };
  const rates: number[] = [];
  await withScene("traffic", { baseUrl, tempo }, async ({ place, keeper, fill, workers: start }) => {
    await fill(items);
    const started = await start(workers, { share: 0.3, inFlight: 16 });
    const order: LiveOrder = { ...place, items, perSecond };
    const live = startProgram<LiveOrder, number[]>("live.ts", order);
    await live.next();
    const asked = async () => {
      live.send({ forMs } satisfies Ask);
      return live.next();
    };
    const { sweep_id } = must(await keeper.sweep("audit"));
    // The workers' first shards warm their code up.
    await sleep(warmUpMs);
    const settled = async () => must(await keeper.sweeps.status(sweep_id)).done;
    for (let turn = 0; turn < turns; turn++) {
      const begun = [await settled(), performance.now()] as const;
      waits.sweeping.push(await asked());
      rates.push((((await settled()) - begun[0]) / (performance.now() - begun[1])) * 1_000);
      must(await keeper.sweeps.pause(sweep_id));
      await sleep(seenMs);
      waits.alone.push(await asked());
      must(await keeper.sweeps.resume(sweep_id));
      await sleep(seenMs);
    }
    must(await keeper.sweeps.cancel(sweep_id));
    await stopped(started);
    await live.end();
  });
  await sandbox.end();
  const all = { alone: waits.alone.flat(), sweeping: waits.sweeping.flat() };
  const ratioAt = (part: number) => quantile(all.sweeping, part) / quantile(all.alone, part);
  return {
    title: "Live calls during a sweep",
    how:
      `\`keeper.get\` ${perSecond} times a second in a process of its own, while ${workers} workers audit at the pace of the allowance ` +
      `(5 000 a minute, of which 30 % are kept for live calls) and while the sweep is paused: ${turns} turns each of ${forMs / 1_000} s. Milliseconds.`,
    columns: ["", "p50", "p95", "p99", "worst", "swept a second"],
    rows: (["alone", "sweeping"] as const).map((name) => [
      name === "alone" ? "no sweep" : "during a sweep",
      quantile(all[name], 0.5),
      quantile(all[name], 0.95),
      quantile(all[name], 0.99),
      Math.max(...all[name]),
      name === "alone" ? 0 : median(rates),
    ]),
    promises: [{ what: "p99 during a sweep to that without", value: ratioAt(0.99), most: 1.5 }],
  };
}
