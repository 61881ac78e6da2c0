// How a keeper is opened: its rooms one after the other, each closed again if a later one does not open.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { err, fetchPost, ok, type Config, type Result } from "sett";
import { assemble, closeRooms, type Opened } from "./assemble.ts";
import { besideDatabase, refuseUnlessOptions } from "./arguments.ts";
import { openBudget } from "./budget/budget.ts";
import { openDatabase } from "./database/database.ts";
import { openEscrow } from "./escrow/escrow.ts";
import type { Keeper, KeeperOptions } from "./keeper.ts";
import { exchangesOf } from "./lifecycle/exchanges.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import type { Means } from "./lifecycle/means.ts";
import { openVault } from "./vault/vault.ts";

/** A lease outlives the longest call to Plaid by this much, for everything else and for clocks that differ. */
const marginMs = 30_000;

/** Opens a keeper, and finishes what an earlier one left open. Throws a TypeError where an option is misspelt or cannot be right. */
export async function openKeeper(options: KeeperOptions): Promise<Result<Keeper, KeeperFailure>> {
  refuseUnlessOptions(options);
  const opened: Opened = [];
  let keeper: Result<Keeper, KeeperFailure> | undefined;
  try {
    return (keeper = await openRooms(options, opened));
  } finally {
    // Whoever opens another one in this process must find no lock of ours; what is told is what went wrong before.
    if (!keeper?.ok) await closeRooms(opened).catch(() => {});
  }
}

/** Says of each room that it has opened how it is closed, whatever comes of the next. */
async function openRooms(options: KeeperOptions, opened: Opened): Promise<Result<Keeper, KeeperFailure>> {
  const {
    plaid,
    keys,
    mint = randomUUID,
    recoverEveryMs = 30_000,
    patienceMs = 60_000,
    wait = waitUnless,
  } = options;
  // A clock such as `performance` gives fractions; what is stored, and compared with that, is whole.
  const clock = options.now ?? Date.now;
  const now = () => Math.floor(clock());
  const folder = options.folder ?? besideDatabase(options.database);
  const environment = plaid.env ?? "sandbox";
  const database = await openDatabase(options.database, { now: now() });
  if (!database.ok) return err({ kind: "database", database: database.error });
  opened.push(() => database.value.close());
  const vault = await openVault({ database: database.value, ring: keys, environment, now });
  if (!vault.ok) return err({ kind: "vault", vault: vault.error });
  opened.push(() => vault.value.close());
  const holder = mint();
  const escrow = await openEscrow(folder, {
    mint: () => holder,
    files: options.files,
    isOurs: (meta) => meta["environment"] === environment,
  });
  if (!escrow.ok) return err({ kind: "escrow", escrow: escrow.error });
  opened.push(() => escrow.value.close());
  const budget = openBudget({
    database: database.value,
    clientId: plaid.clientId,
    environment,
    now,
    wait,
    random: plaid.random ?? Math.random,
    ...(options.budget === false ? { limits: "none" } : options.budget),
  });
  opened.push(() => budget.close());
  const counted = (use: "live" | "sweep"): Config =>
    options.budget === false ? plaid : { ...plaid, post: budget.post(plaid.post ?? fetchPost, use) };
  const means: Means = {
    database: database.value,
    vault: vault.value,
    escrow: escrow.value,
    exchanges: exchangesOf(database.value, environment, options.actor),
    plaid: counted("live"),
    environment,
    actor: options.actor,
    holder,
    now,
    mint,
    wait,
    leaseMs: (plaid.timeoutMs ?? 30_000) + marginMs,
    patienceMs,
    at: options.at ?? (() => {}),
  };
  return ok(await assemble(means, budget, counted("sweep"), recoverEveryMs, opened, options));
}

/** Ends early, and holds nothing up, when the signal aborts. */
const waitUnless = (ms: number, signal?: AbortSignal) =>
  setTimeout(ms, undefined, signal && { signal }).catch(() => {});
