// A public token is exchanged once, however many bring it: the page that saw Link succeed, and Link's own webhooks, in
// this process or another. Its intent is named after the token's keyed hash, so whoever comes second finds the intent of
// the first, waits for its end, and gets the same Item. Whoever is alone pays nothing for that.

import { err, ok, type Result } from "sett";
import { lostFor, type KeeperFailure } from "./failure.ts";
import { readIntent, readItem, viewOf, type ItemView } from "./ledger.ts";
import { cleanOptions, link, resumeExchange, type Linked, type LinkOptions } from "./link.ts";
import { read, type Means } from "./means.ts";
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
  const waits = patience(means, means.patienceMs);
  for (let looks = isSecond; ; looks = true) {
    const found = looks ? await endOf(means, salvage, name) : undefined;
    if (found === "elsewhere") {
      if (await waits()) continue;
      return err({ kind: "unfinished", item_id: null, intent_id: name, cause: null });
    }
    if (found) return found.ok ? ok({ ...found.value, duplicates: [] }) : found;
    try {
      const linked = await link(means, salvage, name, publicToken, options);
      if (linked.ok || !isSeenBefore(linked.error)) return linked;
      // The duplicate may be the Item that this very token became.
      if (looks && linked.error.kind === "duplicate") return linked;
    } catch (thrown) {
      // Somebody is at it at this moment, or it is a mistake of the caller's.
      const intent = await readIntent(means, name);
      if (!intent.ok || !intent.value) throw thrown;
    }
  }
}

const isSeenBefore = (failure: KeeperFailure) =>
  failure.kind === "duplicate" || (failure.kind === "database" && failure.database.constraint === "unique");

/** What became of the exchange of that name; undefined where there is none, or nothing of it stands: it may be tried once more. */
async function endOf(
  means: Means,
  salvage: Salvage,
  name: string,
): Promise<Result<ItemView, KeeperFailure> | "elsewhere" | undefined> {
  const intent = await readIntent(means, name);
  if (!intent.ok) return intent;
  if (!intent.value) return undefined;
  const { item_id, outcome, request_id, opened_at } = intent.value;
  if (outcome === "lost") return err(lostFor(name, request_id, opened_at));
  if (outcome === null) {
    const resumed = await resumeExchange(means, salvage, intent.value);
    return !resumed.ok && resumed.error.kind === "unfinished" && resumed.error.cause === null
      ? "elsewhere"
      : resumed;
  }
  const row = item_id === null || outcome === "not-done" ? undefined : await readItem(means, item_id);
  if (row && !row.ok && row.error.kind !== "unknown-item") return row;
  if (row?.ok && !["stranded", "removing", "removed"].includes(row.value.state)) return ok(viewOf(row.value));
  // The record of an earlier try stays, under a name of its own.
  const renamed = await read(means, (sql) =>
    sql
      .updateTable("intents")
      .set({ intent_id: means.mint() })
      .where("intent_id", "=", name)
      .where("settled_at", "is not", null)
      .execute(),
  );
  return renamed.ok ? undefined : renamed;
}
