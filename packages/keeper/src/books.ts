// A keeper's books: all that can be looked up and changed with its database and, once something sealed is to be opened or
// sealed, its keys. There are no credentials of Plaid's here and no escrow; nobody is called, and what is left open stays so.

import { ok, err, type Result } from "sett";
import { openBudget, type Budget } from "./budget/budget.ts";
import { openDatabase } from "./database/database.ts";
import type { Environment } from "./database/schema.ts";
import type { Keeper } from "./keeper.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import { forgetUser } from "./lifecycle/forget.ts";
import { readView } from "./lifecycle/ledger.ts";
import { databaseFailed } from "./lifecycle/means.ts";
import { listItems } from "./lifecycle/selection.ts";
import { prune } from "./prune.ts";
import { createSweepChanges, createSweepViews, type SweepChanges, type SweepViews } from "./sweep/sweeps.ts";
import type { KeyRing } from "./vault/ring.ts";
import { Vault } from "./vault/vault.ts";

/** What books are opened with. */
export interface BooksOptions {
  /** As for a keeper: a folder, a file or a `postgres://` URL. */
  readonly database: string;
  readonly environment: Environment;
  /** Asked for when the vault is first needed, and once at most. What it throws comes out of what was asked. */
  readonly keys: () => Promise<KeyRing>;
  /** Whose allowance it is; without it, that of the client that was counted last. */
  readonly clientId: string | null;
  /** Who stands in the history for what is changed here. */
  readonly actor: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What a keeper can be asked that needs neither Plaid nor the escrow. */
export interface Books extends Pick<Keeper, "list" | "find" | "forgetUser" | "prune" | "database" | "close"> {
  readonly sweeps: SweepViews & SweepChanges;
  readonly budget: Pick<Budget, "read" | "set" | "state">;
  /** With the ring as it is: whether it fits the database, `check` says. */
  vault(): Promise<Vault>;
}

/** Opens the database, which must be there: `openDatabase` makes one where there is none. */
export async function openBooks({
  database: url,
  environment,
  keys,
  clientId,
  actor,
  now,
}: BooksOptions): Promise<Result<Books, KeeperFailure>> {
  const opened = await openDatabase(url, { now: now() });
  if (!opened.ok) return err(databaseFailed(opened.error));
  const database = opened.value;
  let made: Promise<Vault> | undefined;
  // Not `openVault`, which would need the keys at once.
  const vault = () => (made ??= keys().then((ring) => new Vault({ database, ring, environment, now })));
  const means = {
    database,
    environment,
    actor,
    now,
    vault: { open: async (...sealed: Parameters<Vault["open"]>) => (await vault()).open(...sealed) },
  };
  // Nobody waits for a permit of it.
  const idle = { wait: () => Promise.resolve(), random: () => 0 };
  const budget = openBudget({ database, clientId, environment, now, ...idle });
  return ok({
    list: (selection = {}, page = {}) => listItems(means, selection, page),
    find: (itemId) => readView(means, itemId),
    forgetUser: (userId) => forgetUser(means, userId),
    prune: (options) => prune(means, options),
    sweeps: { ...createSweepViews(means, budget), ...createSweepChanges(means) },
    budget,
    database,
    vault,
    async close() {
      await budget.close();
      (await made?.catch(() => undefined))?.close();
      await database.close();
    },
  });
}
