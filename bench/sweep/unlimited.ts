// Where Plaid sets no limit: webhooks moved a second by one worker, whose every step is on disk, beside a pool of
// promises with the official client, which writes nothing down; and the memory of a worker as fleets grow.

import { built } from "../built.ts";
import type { Comparison, Promised } from "../report.ts";
import type { Pooled, PoolOrder } from "./pool.ts";
import { startProgram } from "./program.ts";
import { stopped, withScene } from "./scene.ts";
import type { Pace } from "../rounds.ts";

const inFlight = 64;
interface Seen {
  readonly perSecond: number;
  readonly rss: number;
  readonly cpuMicros: number;
  readonly submitSeconds: number;
}

async function sett(baseUrl: string, items: number, file: string, plainHeap = false): Promise<Seen> {
  return withScene("unlimited", { baseUrl }, async ({ fill, workers, sweep }) => {
    await fill(items);
    const started = await workers(1, { share: null, inFlight, plainHeap }, file);
    const webhook = "https://after.example/plaid";
    // Nobody acknowledges here.
    const { status, ms, submitMs } = await sweep("webhook", { webhook, acknowledgeWithinMs: 1 });
    const [worked] = await stopped(started);
    if (status.done !== items) throw new Error(`${status.done} of ${items} webhooks were moved`);
    const { rss, cpuMs } = worked!;
    return {
      perSecond: (items * 1_000) / (ms - submitMs),
      rss,
      cpuMicros: (cpuMs * 1_000) / items,
      submitSeconds: submitMs / 1_000,
    };
  });
}

async function official(baseUrl: string, items: number): Promise<Seen> {
  const order: PoolOrder = {
    baseUrl,
    items,
    inFlight,
    call: "webhook",
    webhook: "https://after.example/plaid",
  };
  const pool = startProgram<PoolOrder, Pooled>("pool.ts", order);
  const { ms, rss, cpuMs } = await pool.next();
  await pool.end();
  return { perSecond: (items * 1_000) / ms, rss, cpuMicros: (cpuMs * 1_000) / items, submitSeconds: 0 };
}

export async function compareUnlimited({ rounds, full }: Pace): Promise<Comparison> {
  const server = startProgram<object, string>("answering.ts", {});
  const baseUrl = await server.next();
  const sizes = full ? [10_000, 100_000, 1_000_000] : rounds > 3 ? [10_000, 50_000] : [2_000, 10_000];
  const peers = Math.min(100_000, sizes.at(-1)!);
  const rows: Comparison["rows"][number][] = [];
  const promises: Promised[] = [];
  const bare = await official(baseUrl, peers);
  const row = (name: string, { perSecond, cpuMicros, rss, submitSeconds }: Seen, ours: boolean) =>
    rows.push([name, perSecond, perSecond / bare.perSecond, cpuMicros, rss, ours ? submitSeconds : null]);
  row(`plaid 47.0.0 (official), pool, ${peers} Items`, bare, false);
  const memory: number[] = [];
  const file = await built("sweep/worker.ts");
  for (const items of sizes) {
    const seen = await sett(baseUrl, items, file);
    row(`sett, one worker, ${items} Items`, seen, true);
    memory.push(seen.rss);
    if (items === peers) {
      const to = seen.perSecond / bare.perSecond;
      promises.push({ what: "calls a second to the official client's", value: to, least: 3 });
      row(`the same, Node's own heap`, await sett(baseUrl, items, file, true), true);
    }
  }
  await server.end();
  promises.push({ what: "memory of the worker", value: Math.max(...memory), most: 250, unit: " MiB" });
  promises.push({
    what: `memory at ${sizes.at(-1)} Items to that at ${sizes[0]}`,
    value: memory.at(-1)! / memory[0]!,
    most: 1.25,
  });
  return {
    title: "Webhooks moved a second, without limits",
    how:
      `A node:http server answers /item/webhook/update at once; ${inFlight} calls in flight on either side. One worker on PostgreSQL, ` +
      `its heap as the program \`sett\` has it, against a loop that keeps no record. CPU is the worker's process alone, its start included.`,
    columns: ["", "calls/s", "to official", "CPU µs/call", "MiB at most", "submit s"],
    rows,
    promises,
  };
}
