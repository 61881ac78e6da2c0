// A program of its own that rotates one Item and waits at each step until it may go on: the story ends it with SIGKILL
// in the middle. What it needs comes over the channel to its parent, for anybody may read the arguments of a process.

import { once } from "node:events";
import { localKeyRing, openKeeper, readKeyFile, type Step } from "@sett/keeper";
import type { Config } from "sett";

/** What the program is told first; after each step it waits for another message. */
export interface Order {
  readonly plaid: Pick<Config, "clientId" | "secret" | "baseUrl">;
  readonly database: string;
  readonly keyFile: string;
  readonly item_id: string;
}

const [order] = (await once(process, "message")) as [Order];
const opened = await openKeeper({
  plaid: order.plaid,
  database: order.database,
  keys: localKeyRing(await readKeyFile(order.keyFile)),
  recoverEveryMs: 0,
  at: async (step: Step) => {
    process.send!(step);
    await once(process, "message");
  },
});
if (!opened.ok) throw new Error(JSON.stringify(opened.error));
const rotated = await opened.value.rotate(order.item_id);
await opened.value.close();
process.disconnect();
if (!rotated.ok) throw new Error(JSON.stringify(rotated.error));
