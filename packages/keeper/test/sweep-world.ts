// A fleet for sweeps: a sandbox whose webhooks reach the keeper, and Items in it, made without a call for each.

import { createSandbox, type Sandbox } from "@sett/sandbox";
import { Item, unwrap, type Config } from "sett";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import type { ReportRow } from "../src/sweep/report.ts";
import type { SweepStatus } from "../src/sweep/sweep.ts";
import type { WorkerOptions } from "../src/sweep/worker.ts";
import { configFor, open, publicToken, value } from "./lifecycle-world.ts";

export interface Fleet {
  readonly sandbox: Sandbox;
  readonly plaid: Config;
  readonly keeper: Keeper;
  /** By item_id. */
  readonly items: readonly string[];
  /** Another keeper on the same database. */
  another(more?: Partial<KeeperOptions>, config?: Partial<Config>): Promise<Keeper>;
  close(): Promise<void>;
}

/** Pauses and polls of tests are this short. */
export const quick: WorkerOptions = { pollMs: 20, pauseMs: 5, inFlight: 8 };

/** A keeper that holds so many Items, at `oldWebhook`. */
export async function fleet(
  url: string,
  folder: string,
  count: number,
  more: Partial<KeeperOptions> = {},
): Promise<Fleet> {
  const receiver: { keeper?: Keeper } = {};
  const sandbox = await createSandbox({
    deliver: async (request) => receiver.keeper?.receive(request) ?? new Response(null, { status: 503 }),
  });
  const plaid = configFor(sandbox, { timeoutMs: 1_000 });
  const options = { budget: false as const, wait: shortWait, ...more };
  const opened = await open(url, folder, plaid, options);
  receiver.keeper = opened;
  const items: string[] = [];
  for (let number = 0; number < count; number++) {
    const linked = value(await opened.link(await publicToken(plaid), { userId: `u_${number % 3}` }));
    items.push(linked.item_id);
  }
  const others: Keeper[] = [];
  return {
    sandbox,
    plaid,
    keeper: opened,
    items: items.sort(),
    async another(other = {}, config = {}) {
      const made = await open(url, folder, { ...plaid, ...config }, { ...options, ...other });
      others.push(made);
      return made;
    },
    async close() {
      await Promise.all([opened, ...others].map((one) => one.close()));
      await sandbox.close();
    },
  };
}

/** A second of waiting is a fiftieth. */
const shortWait = (ms: number) => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 1_000) / 50));

/** Waits until the sweep is over, or in the state that is told. */
export async function until(
  keeper: Keeper,
  sweepId: number,
  reached: (status: SweepStatus) => boolean = ({ ended_at }) => ended_at !== null,
): Promise<SweepStatus> {
  for (let tries = 0; ; tries++) {
    const status = value(await keeper.sweeps.status(sweepId));
    if (reached(status)) return status;
    if (tries > 1_500) throw new Error(`the sweep does not get there: ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The report, whole. */
export async function reported(keeper: Keeper, sweepId: number): Promise<ReportRow[]> {
  const rows: ReportRow[] = [];
  for await (const row of keeper.sweeps.report(sweepId)) rows.push(value(row));
  return rows;
}

/** Asks Plaid with the Item's own token, past the keeper. */
export const webhookAtPlaid = async (sandbox: Sandbox, plaid: Config, itemId: string) =>
  unwrap(await Item.get(sandbox.control.items.get(itemId).access_token!, plaid)).item.webhook;
