// Rotations and removals, and the few webhooks that cannot go in a batch: each Item through the lifecycle, with its
// intents, its escrow and its probes. Whether an Item meets the goal is read off its row, so anybody may do it again.

import { ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import { notExchange, type IntentKind, type SweepOperation } from "../database/schema.ts";
import { strandedFor, type KeeperFailure } from "../lifecycle/failure.ts";
import type { ItemView } from "../lifecycle/ledger.ts";
import type { Means } from "../lifecycle/means.ts";
import { strandingsOf } from "../lifecycle/stranded.ts";
import { hasMoved, isKnown, notKnown } from "./known-webhook.ts";
import type { Ground, Operation } from "./pool.ts";
import { beginAttempts, done, failed, skipped, type Ended, type Entry, type Held } from "./settle.ts";
import { pathOf } from "./sweep.ts";

/** An Item to be worked on. */
export interface One {
  readonly entry: Entry;
}

/** So long an Item is waited for at which somebody else is; then it is tried again later. */
const busyMs = 1_000;

type Single = SweepOperation & IntentKind;

/** Where the Item's webhook is to go. */
export const targetOf = ({ sweep, parameters }: Pick<Held, "sweep" | "parameters">, entry: Entry) =>
  sweep.rolls_back === null ? (parameters.webhook ?? null) : entry.target;

/**
 * What can be said of an Item without a call: that there is nothing to do, or nothing to be done. `attempt` before now
 * means that what has come about is our doing.
 */
export function verdict(ground: Ground, held: Held, entry: Entry): Ended | undefined {
  const { sweep } = held;
  const { operation } = sweep;
  const { now: row, item_id } = entry;
  const ours = entry.attempt > 0;
  const met = (why: string) => (ours ? done(entry, entry.request_id, entry.attempt) : skipped(entry, why));
  const refused = (failure: KeeperFailure) => failed(ground, entry, failure, Math.max(1, entry.attempt));
  if (!row) return refused({ kind: "unknown-item", item_id });
  const { state } = row;
  if (state === "removed")
    return operation === "remove" ? met("removed") : refused({ kind: "removed", item_id });
  const mayBeLeaving = operation === "reencrypt" || (operation === "remove" && ours);
  if (state === "removing" && !mayBeLeaving) return refused({ kind: "removing", item_id });
  if (state === "stranded" && operation !== "audit" && operation !== "reencrypt")
    return refused(strandedFor(item_id));
  if (operation === "rotate" && row.token_version !== entry.token_version) return met("rotated");
  if (operation === "webhook") {
    const target = targetOf(held, entry);
    if (target === notKnown) return skipped(entry, "not known where it was before");
    if (row.webhook !== target || !isKnown(entry))
      return hasMoved(entry) ? skipped(entry, "moved by others") : undefined;
    // What is put back is so at Plaid only if Plaid has said so: a call of the other sweep may have gone out unheard.
    if (sweep.rolls_back === null) return met("there already");
  }
  return undefined;
}

/** Those of which that is all, and the rest. */
export function judge(ground: Ground, held: Held, entries: readonly Entry[]) {
  const ended: Ended[] = [];
  const rest: Entry[] = [];
  for (const entry of entries) {
    const said = verdict(ground, held, entry);
    if (said) ended.push(said);
    else rest.push(entry);
  }
  return { ended, rest };
}

export function oneByOne(ground: Ground, operation: Single): Operation<One> {
  const { means, acts } = ground;
  const begin = means.now();
  const count = counting(means);

  const carryOut = (held: Held, entry: Entry): Promise<Result<ItemView, KeeperFailure>> => {
    const { item_id, token_version } = entry;
    const terms = { signal: held.signal, patienceMs: Math.min(means.patienceMs, busyMs) };
    if (operation === "rotate") return acts.rotate(item_id, token_version, terms);
    if (operation === "remove") return acts.remove(item_id, held.parameters.reason, terms);
    return acts.updateWebhook(item_id, targetOf(held, entry), terms);
  };

  return {
    async prepare(held, entries) {
      const { ended, rest } = judge(ground, held, entries);
      return ok({ ended, ready: rest.map((entry) => ({ entry })) });
    },
    async act(held, one) {
      const { entry } = one;
      const { signal } = held;
      if (!(await mayCall(ground, held, entry))) return asItWas(one);
      const counted = await count(held, entry);
      if (!counted.ok) return failed(ground, entry, counted.error);
      // Whoever has lost the shard finds out when it settles, and begins nothing.
      if (!counted.value || signal.aborted) return asItWas(one);
      const came = await carryOut(held, entry);
      if (came.ok) return done(entry);
      const { error } = came;
      if (error.kind === "busy" && signal.aborted) return asItWas(one); // it was not begun
      // An earlier attempt of ours was at its end after all, or was brought there on the way.
      const already = operation === "remove" ? "removed" : "rotated";
      if (error.kind === already && (operation === "remove" || entry.attempt > 0)) return done(entry);
      return failed(ground, entry, error);
    },
    undone: asItWas,
    also: async (sql, _held, ended) =>
      withStrandings(means, sql, await withRequestIds(means, sql, operation, begin, ended)),
  };
}

/** Counts attempts just before they are made: those that come while the database is at the ones before, together. */
function counting(means: Means): (held: Held, entry: Entry) => ReturnType<typeof beginAttempts> {
  let next: { readonly entries: Entry[]; readonly counted: ReturnType<typeof beginAttempts> } | undefined;
  let last: Promise<unknown> = Promise.resolve();
  return (held, entry) => {
    if (!next) {
      const entries: Entry[] = [];
      const counted = last.then(() => {
        next = undefined;
        return beginAttempts(means, held, entries);
      });
      last = counted.catch(() => {}); // those who wait for it are told
      next = { entries, counted };
    }
    next.entries.push(entry);
    return next.counted;
  };
}

/** Of one that was not begun. */
export const asItWas = ({ entry }: { readonly entry: Entry }): Ended => ({
  entry,
  outcome: entry.outcome,
  attempt: entry.attempt,
  due_at: entry.due_at,
  ...(entry.result !== null && { result: JSON.parse(entry.result) as object }),
  request_id: entry.request_id,
});

/** Waits for a permit for a call about the Item. It is not to be made where the signal has aborted meanwhile. */
export async function mayCall({ budget }: Ground, { sweep, signal }: Held, entry: Entry): Promise<boolean> {
  const about = { itemId: entry.item_id, institutionId: entry.now?.institution_id, signal };
  return (await budget.take(pathOf[sweep.operation]!, about)) === "go" && !signal.aborted;
}

/** Of those that were found stranded, why: that is in their history. */
async function withStrandings(means: Means, sql: Sql, ended: readonly Ended[]): Promise<readonly Ended[]> {
  const isStranded = ({ result }: Ended) =>
    result !== undefined && "kind" in result && result.kind === "stranded";
  const ids = ended.filter(isStranded).map(({ entry }) => entry.item_id);
  const known = await strandingsOf(means, sql, ids);
  return ended.map((one) => {
    const result = isStranded(one) ? known.get(one.entry.item_id) : undefined;
    return result ? { ...one, result, request_id: one.request_id ?? result.request_id } : one;
  });
}

/** Of what went well the lifecycle has kept Plaid's request_id with the intent. */
async function withRequestIds(
  { database }: Ground["means"],
  sql: Sql,
  operation: Single,
  since: number,
  ended: readonly Ended[],
): Promise<readonly Ended[]> {
  const missing = ended.filter(({ outcome, request_id }) => outcome === "done" && !request_id);
  if (missing.length === 0) return ended;
  const ids = missing.map(({ entry }) => entry.item_id);
  const found = await sql
    .selectFrom(database.differences.rows("asked", { id: { kind: "text", values: ids } }))
    .innerJoin("intents", "intents.item_id", "asked.id")
    .select(["intents.item_id", "intents.request_id"])
    .where(...notExchange)
    .where("intents.kind", "=", operation)
    .where("intents.outcome", "=", "done")
    .where("intents.opened_at", ">=", since)
    .orderBy("intents.opened_at")
    .execute();
  const known = new Map(found.map(({ item_id, request_id }) => [item_id, request_id]));
  return ended.map((one) =>
    one.outcome === "done" && !one.request_id
      ? { ...one, request_id: known.get(one.entry.item_id) ?? null }
      : one,
  );
}
