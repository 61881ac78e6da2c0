// A process that asks about Items now and then, as an application's live traffic does, and says how long it waited.

import { setTimeout as sleep } from "node:timers/promises";
import { pooledPost } from "sett/node";
import { itemIdOf, keeperAt, must, type Place } from "./fleet.ts";
import { ordered } from "./program.ts";

export interface LiveOrder extends Place {
  readonly items: number;
  readonly perSecond: number;
}

/** For so long. */
export interface Ask {
  readonly forMs: number;
}

const order = await ordered<LiveOrder>();
const keeper = await keeperAt(order, pooledPost());
let at = 0;

async function ask(): Promise<number> {
  const begun = performance.now();
  must(await keeper.get(itemIdOf((at = (at + 7_919) % order.items))));
  return performance.now() - begun;
}

process.on("message", ({ forMs }: Ask) => void askFor(forMs).then((waited) => process.send!(waited)));
for (let turn = 0; turn < 50; turn++) await ask();
process.send!([]);

/** Calls begin at a steady pace, whether earlier ones have ended or not. */
async function askFor(forMs: number): Promise<number[]> {
  const begun = performance.now();
  const asked: Promise<number>[] = [];
  for (let turn = 0; ; turn++) {
    const due = (turn * 1_000) / order.perSecond;
    if (due >= forMs) return Promise.all(asked);
    await sleep(Math.max(0, due - (performance.now() - begun)));
    asked.push(ask());
  }
}
