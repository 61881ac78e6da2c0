// What can be seen of a keeper without being one: the database and, once something sealed is to be opened, the keys. It
// has no credentials of Plaid's and no escrow, calls nobody and finishes nothing that is left open.

import { ok, err, type Result } from "sett";
import { openBudget, type Budget } from "./budget/budget.ts";
import { openDatabase, type Database } from "./database/database.ts";
import type { Environment } from "./database/schema.ts";
import type { Keeper } from "./keeper.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import { readView } from "./lifecycle/ledger.ts";
import { databaseFailed } from "./lifecycle/means.ts";
import { listItems } from "./lifecycle/selection.ts";
import { createSweepViews, type SweepViews } from "./sweep/sweeps.ts";
import type { KeyRing } from "./vault/ring.ts";
import { Vault } from "./vault/vault.ts";

/** What a reader is made of. */
export interface ReaderOptions {
  /** As for a keeper: a folder, a file or a `postgres://` URL. */
  readonly database: string;
  readonly environment: Environment;
  /** Asked for when something sealed is to be opened, and once at most. What it throws comes out of what was asked. */
  readonly keys: () => Promise<KeyRing>;
  /** Whose allowance is shown; without it, that of the client that was counted last. */
  readonly clientId: string | null;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What a keeper can be asked without changing anything. */
export interface Reader extends Pick<Keeper, "list" | "find" | "close"> {
  readonly sweeps: SweepViews;
  readonly budget: Pick<Budget, "read" | "state">;
  readonly database: Pick<Database, "read">;
  readonly vault: Pick<Vault, "keys">;
}

/** Opens the database, which must be there: `openDatabase` makes one where there is none. */
export async function openReader({
  database: url,
  environment,
  keys,
  clientId,
  now,
}: ReaderOptions): Promise<Result<Reader, KeeperFailure>> {
  const opened = await openDatabase(url, { now: now() });
  if (!opened.ok) return err(databaseFailed(opened.error));
  const database = opened.value;
  let made: Promise<Vault> | undefined;
  // Not `openVault`, which makes keys where there are none.
  const vault = () => (made ??= keys().then((ring) => new Vault({ database, ring, environment, now })));
  const reading = {
    database,
    environment,
    now,
    vault: { open: async (...sealed: Parameters<Vault["open"]>) => (await vault()).open(...sealed) },
  };
  // Nobody waits for a permit of it.
  const idle = { wait: () => Promise.resolve(), random: () => 0 };
  const budget = openBudget({ database, clientId, environment, now, ...idle });
  return ok({
    list: (selection = {}, page = {}) => listItems(reading, selection, page),
    find: (itemId) => readView(reading, itemId),
    sweeps: createSweepViews(reading, budget),
    budget,
    database,
    vault: { keys: async () => (await vault()).keys() },
    async close() {
      await budget.close();
      (await made?.catch(() => undefined))?.close();
      await database.close();
    },
  });
}
