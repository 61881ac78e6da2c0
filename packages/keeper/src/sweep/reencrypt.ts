// Tokens sealed anew with the data key in use, some hundred at a time. What else is sealed in the database comes last.

import { err, ok, type Result } from "sett";
import type { DatabaseFailure } from "../database/failure.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { databaseFailed, type Means } from "../lifecycle/means.ts";
import type { VaultFailure } from "../vault/failure.ts";
import { reencrypt, reencryptItems } from "../vault/reencrypt.ts";
import { judge } from "./one-by-one.ts";
import type { Ground, Operation } from "./pool.ts";
import { done, failed } from "./settle.ts";

export function reencryptTokens(ground: Ground): Operation<never> {
  const { means } = ground;
  means.vault.lookAgain(); // a shard may well be here because a new key was begun with elsewhere a moment ago
  return {
    async prepare(held, entries) {
      const { ended, rest } = judge(ground, held, entries);
      if (rest.length === 0) return ok({ ended, ready: [] });
      const ids = rest.map(({ item_id }) => item_id);
      const moved = await reencryptItems(means.vault, means.database, ids);
      if (!moved.ok) return err(failureOf(moved.error));
      const bad = new Map(moved.value.failures.map(({ id, failure }) => [id, failure]));
      for (const entry of rest) {
        const vault = bad.get(entry.item_id);
        ended.push(vault ? failed(ground, entry, { kind: "vault", vault }) : done(entry));
      }
      return ok({ ended, ready: [] });
    },
    act: (_held, ready) => ready,
    undone: (ready) => ready,
  };
}

/** Everything sealed but the tokens. */
export async function reencryptTheRest(means: Means): Promise<Result<undefined, KeeperFailure>> {
  const moved = await reencrypt(means.vault, means.database, { tables: ["intents", "deliveries", "sweeps"] });
  return moved.ok ? ok(undefined) : err(failureOf(moved.error));
}

const failureOf = (failure: VaultFailure | DatabaseFailure): KeeperFailure =>
  "committed" in failure ? databaseFailed(failure) : { kind: "vault", vault: failure };
