// A public token is exchanged once, however many bring it: the page that saw Link succeed, and Link's own webhooks, in
// this process or another. Its intent is named after the token's keyed hash, so whoever comes second finds the intent of
// the first, waits for its end, and gets the same Item. Whoever is alone pays nothing for that.

import { err, ok, type Result } from "sett";
import { lostFor, type KeeperFailure } from "./failure.ts";
import { readIntent, readItem, viewOf, type IntentRow, type ItemView } from "./ledger.ts";
import { cleanOptions, link, resumeExchange, type Linked, type LinkOptions } from "./link.ts";
import { databaseFailed, type Means } from "./means.ts";
import type { Salvage } from "./salvage.ts";
import { longestToken, textOf } from "./texts.ts";
import { patience, Turns } from "./turns.ts";

/** Links: see `Keeper.link`. */
export type LinkOnce = (publicToken: string, options: LinkOptions) => Promise<Result<Linked, KeeperFailure>>;

export function linker(means: Means, salvage: Salvage): LinkOnce {
  const turns = new Turns();
  return async (publicToken, given) => {
    textOf("the public token", publicToken, longestToken);
    const options = cleanOptions(given);
    const made = await means.vault.fingerprint(["public token", publicToken]);
    if (!made.ok) return err({ kind: "vault", vault: made.error });
    const name = made.value.toString("hex");
    // Those of one process take turns, so that the others need not be asked.
    return turns.take(name, (isSecond) => linkAs(means, salvage, name, publicToken, options, isSecond));
  };
}

async function linkAs(
  means: Means,
  salvage: Salvage,
  name: string,
  publicToken: string,
  options: LinkOptions,
  isSecond: boolean,
): Promise<Result<Linked, KeeperFailure>> {
  let looks = isSecond;
  const waits = patience(means, means.patienceMs);
  for (;;) {
    if (looks) {
      const intent = await readIntent(means, name);
      if (!intent.ok) return intent;
      const found = intent.value && (await endOf(means, salvage, intent.value));
      if (found === "elsewhere") {
        if (await waits()) continue;
        return err({ kind: "unfinished", item_id: null, intent_id: name, cause: null });
      }
      if (found && found !== "again") return found.ok ? ok({ ...found.value, duplicates: [] }) : found;
      if (found === "again") {
        const freed = await giveNameBack(means, name);
        if (!freed.ok) return freed;
      }
    }
    const before = looks;
    looks = true;
    try {
      const linked = await link({ ...means, mint: () => name }, salvage, publicToken, options);
      if (linked.ok || !isSeenBefore(linked.error)) return linked;
      // The duplicate may be the Item that this very token became.
      if (before && linked.error.kind === "duplicate") return linked;
    } catch (thrown) {
      // Somebody is at it at this moment, or it is a mistake of the caller's.
      const intent = await readIntent(means, name);
      if (!intent.ok || !intent.value) throw thrown;
    }
  }
}

const isSeenBefore = (failure: KeeperFailure) =>
  failure.kind === "duplicate" || (failure.kind === "database" && failure.database.constraint === "unique");

/** What became of an exchange; `again`: nothing that stands, so it may be tried once more. */
async function endOf(
  means: Means,
  salvage: Salvage,
  intent: IntentRow,
): Promise<Result<ItemView, KeeperFailure> | "again" | "elsewhere"> {
  const { intent_id, item_id, outcome, request_id, opened_at } = intent;
  if (outcome === "not-done") return "again";
  if (outcome === "lost") return err(lostFor(intent_id, request_id, opened_at));
  if (outcome === null) {
    const resumed = await resumeExchange(means, salvage, intent);
    return !resumed.ok && resumed.error.kind === "unfinished" && resumed.error.cause === null
      ? "elsewhere"
      : resumed;
  }
  const row = item_id === null ? undefined : await readItem(means, item_id);
  if (row && !row.ok && row.error.kind !== "unknown-item") return row;
  const stands = row?.ok && !["stranded", "removing", "removed"].includes(row.value.state);
  return stands ? ok(viewOf(row.value)) : "again";
}

/** The record of an earlier try stays, under a name of its own. */
async function giveNameBack(
  { database, mint }: Means,
  name: string,
): Promise<Result<undefined, KeeperFailure>> {
  const renamed = await database.read((sql) =>
    sql
      .updateTable("intents")
      .set({ intent_id: mint() })
      .where("intent_id", "=", name)
      .where("settled_at", "is not", null)
      .execute(),
  );
  return renamed.ok ? ok(undefined) : err(databaseFailed(renamed.error));
}
