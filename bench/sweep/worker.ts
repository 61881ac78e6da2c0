// A process that works on sweeps until it is told to stop, and then says what Plaid answered and what it cost.

import { pooledPost } from "sett/node";
import { keepYoungSpaceSmall } from "../../packages/keeper/src/cli/heap.ts";
import { keeperAt, type Place } from "./fleet.ts";
import { ordered, told } from "./program.ts";
import { Tally, type Bins } from "./tally.ts";
import { clockOf } from "./tempo.ts";

export interface WorkOrder extends Place {
  /** What is kept free for live calls; null for no budget at all. */
  readonly share: number | null;
  readonly inFlight: number;
  /** Node's own heap, and not what the program `sett` makes of it. */
  readonly plainHeap?: boolean;
}

export interface Worked {
  readonly bins: Bins;
  /** MiB at most. */
  readonly rss: number;
  /** User and system time. */
  readonly cpuMs: number;
  /** What went wrong in the background. */
  readonly problems: readonly string[];
}

const order = await ordered<WorkOrder>();
if (!order.plainHeap) keepYoungSpaceSmall();
const tally = new Tally(order.tempo ? clockOf(order.tempo).now : Date.now);
const pool = pooledPost();
const { share, inFlight } = order;
const budget = share === null ? false : { share };
const keeper = await keeperAt(order, tally.counted(pool), { budget });
const problems: string[] = [];
const worker = keeper.sweeps.work({
  inFlight,
  onProblem: (problem) => problems.push(JSON.stringify(problem)),
});
process.send!("ready");
await told();
await worker.close();
await keeper.close();
await pool.close();
const { user, system } = process.cpuUsage();
const rss = process.resourceUsage().maxRSS / 1024;
process.send!({ bins: tally.bins, rss, cpuMs: (user + system) / 1_000, problems } satisfies Worked);
