// Whether the keeper can do its work: its database answers and its keys open. Looked at once a second at most, whoever asks.

import type { Keeper } from "../keeper.ts";
import { databaseSaid, vaultSaid } from "./sentences.ts";

export interface Health {
  readonly ok: boolean;
  /** What is wrong, by part; null where nothing is. */
  readonly parts: Readonly<Record<"database" | "keys", string | null>>;
}

const freshMs = 1_000;
const patienceMs = 3_000;

export function createHealth({ database, vault }: Keeper, now: () => number): () => Promise<Health> {
  let kept: { readonly health: Health; readonly until: number } | undefined;
  let looking: Promise<Health> | undefined;
  const look = async (): Promise<Health> => {
    const [inDatabase, inKeys] = await Promise.all([
      within(database.read((sql) => sql.selectFrom("migrations").select("number").limit(1).execute())),
      within(vault.check()),
    ]);
    const parts = {
      database: inDatabase === "late" ? late : inDatabase.ok ? null : databaseSaid(inDatabase.error),
      keys: inKeys === "late" ? late : inKeys.ok ? null : vaultSaid(inKeys.error),
    };
    const health = { ok: parts.database === null && parts.keys === null, parts };
    kept = { health, until: now() + freshMs };
    return health;
  };
  return async () =>
    kept && now() < kept.until ? kept.health : (looking ??= look().finally(() => (looking = undefined)));
}

const late = `no answer within ${patienceMs / 1_000} s`;

/** What comes of it, if it comes in time. */
export async function within<Value>(work: Promise<Value>, forMs = patienceMs): Promise<Value | "late"> {
  const { promise, resolve } = Promise.withResolvers<"late">();
  const timer = setTimeout(() => resolve("late"), forMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
