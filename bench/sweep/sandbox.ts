// The process that is Plaid: the sandbox with so many Items, its limits on, by the clock of the bench.

import { setTimeout as sleep } from "node:timers/promises";
import { createSandbox } from "@sett/sandbox";
import { Sandbox, unwrap } from "sett";
import { atPlaid, credentials } from "./fleet.ts";
import { ordered } from "./program.ts";
import { clockOf, type Tempo } from "./tempo.ts";

export interface SandboxOrder {
  readonly items: number;
  readonly tempo: Tempo;
  readonly limits: boolean;
}

/** The allowance of /item/get, from now on. */
export interface Allow {
  readonly perMinute: number;
}

/** How far the sandbox's clock may be behind. */
const tickMs = 2;

const { items, tempo, limits } = await ordered<SandboxOrder>();
const sandbox = await createSandbox({ now: tempo.from, limits, deliver: async () => new Response() });
unwrap(
  await Sandbox.createPublicToken("ins_109508", ["transactions"], { ...credentials, post: sandbox.post }),
);
sandbox.control.restore(atPlaid(sandbox.control.snapshot(), items));
process.on("message", ({ perMinute }: Allow) => {
  sandbox.control.limits.set(true, { "/item/get": { item: 40, client: perMinute, code: "ITEM_GET_LIMIT" } });
});
const { url } = await sandbox.listen();
process.send!(url);

const { now } = clockOf(tempo);
for (;;) {
  await sandbox.control.clock.set(Math.max(now(), sandbox.control.clock.now()));
  await sleep(tickMs);
}
