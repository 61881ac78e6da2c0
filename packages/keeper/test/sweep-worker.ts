// A process that works on sweeps until it is killed, or told to end by the end of its input: see sweep-chaos.ts.

import { once } from "node:events";
import { fetchPost } from "sett";
import type { Keeper } from "../src/keeper.ts";
import { openKeeper } from "../src/open.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import { configFor, ringText } from "./lifecycle-world.ts";

export interface WorkOrder {
  readonly url: string;
  readonly folder: string;
  readonly baseUrl: string;
}

const { url, folder, baseUrl } = JSON.parse(process.argv[2]!) as WorkOrder;
const plaid = configFor({ post: fetchPost }, { baseUrl, timeoutMs: 1_000, retries: 0 });
const options = { budget: false, recoverEveryMs: 1_000, patienceMs: 1_000 } as const;
/** The database may be down at the moment. */
async function reach(): Promise<Keeper> {
  const opened = await openKeeper({ plaid, database: url, keys: localKeyRing(ringText), folder, ...options });
  if (opened.ok) return opened.value;
  if (opened.error.kind !== "database") throw new Error(JSON.stringify(opened.error));
  await new Promise((resolve) => setTimeout(resolve, 200));
  return reach();
}
const keeper = await reach();
const worker = keeper.sweeps.work({ leaseMs: 2_500, pollMs: 100, pauseMs: 100, inFlight: 4, shards: 2 });
process.stdout.write("ready\n");
process.stdin.resume();
await once(process.stdin, "end");
await worker.close();
await keeper.close();
