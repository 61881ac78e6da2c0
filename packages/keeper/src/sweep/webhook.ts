// Webhooks moved by the hundred: one transaction takes the leases of the Items, as a flight of each would, the calls go
// out, one transaction writes what came. A call that is lost may be repeated, so no intent is needed; whatever does not
// go smoothly is left to the lifecycle, which does such Items one by one at the next round.

import { err, Item, ok, type Result } from "sett";
import { sql as raw } from "kysely";
import type { Sql } from "../database/connection.ts";
import { claimLeases, leaseOfItem, releaseLeases, renewLease, type Lease } from "../database/leases.ts";
import { sweeperOf } from "../lifecycle/arrival.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { intentIsOpen } from "../lifecycle/ledger.ts";
import { databaseFailed, openText, transact, type Means } from "../lifecycle/means.ts";
import { asItWas, judge, noteLimit, oneByOne, targetOf, verdict, type One } from "./one-by-one.ts";
import type { Ground, Operation } from "./pool.ts";
import { countAttempts, failed, done, type Ended, type Entry, type Held } from "./settle.ts";
import { pathOf } from "./sweep.ts";

interface Leased extends One {
  readonly lease: Lease;
  readonly token: Buffer;
  readonly key_id: string | null;
}

export function moveWebhooks(ground: Ground): Operation<One | Leased> {
  const { means, patience } = ground;
  const single = oneByOne(ground, "webhook");
  /** Of each Item that is under a lease of ours. */
  const leases = new Map<string, Lease>();
  /** Permits that came for Items which could not be asked about after all: the next ones take them. */
  let spare = 0;
  const isLeased = (one: One | Leased): one is Leased => "lease" in one;

  /** The lease must outlive the call; one that has grown old while the permit was waited for is renewed. */
  const outlives = async (lease: Lease, itemId: string): Promise<Result<undefined, KeeperFailure>> => {
    if (means.now() + (means.plaid.timeoutMs ?? 30_000) <= lease.untilMs) return ok(undefined);
    const renewed = await means.database.read((sql) => renewLease(sql, lease, means.now(), means.leaseMs));
    if (!renewed.ok) return err(databaseFailed(renewed.error));
    // Somebody else was at it since.
    return renewed.value ? ok(undefined) : err({ kind: "busy", item_id: itemId });
  };

  return {
    async prepare(held, entries) {
      const again = entries.filter(({ attempt }) => attempt > 0);
      const fresh = entries.filter(({ attempt }) => attempt === 0);
      const singles = await single.prepare(held, again);
      if (!singles.ok) return singles;
      const judged = judge(ground, held, fresh);
      const worth = judged.rest;
      const ended = [...singles.value.ended, ...judged.ended];
      const ready: (One | Leased)[] = [...singles.value.ready];
      if (worth.length === 0) return ok({ ended, ready });
      const taken = await take(ground, held, worth);
      if (!taken.ok) return taken;
      for (const entry of worth) {
        const { item_id } = entry;
        const one = taken.value.get(item_id);
        if (one) leases.set(item_id, one.lease);
        if (one?.ready) ready.push(one.ready);
        // Or somebody else is at it.
        else ended.push(one?.said ?? failed(entry, 1, { kind: "busy", item_id }, means.now(), patience));
      }
      return ok({ ended, ready });
    },

    async act(held, one) {
      if (!isLeased(one)) return single.act(held, one);
      const { entry, token, key_id } = one;
      const { item_id } = entry;
      const about = { itemId: item_id, institutionId: entry.now?.institution_id, signal: held.signal };
      if (spare > 0) spare--;
      else if ((await ground.budget.take(pathOf.webhook, about)) === "stopped") return asItWas(one);
      if (held.signal.aborted) return asItWas(one);
      const may = await outlives(one.lease, item_id);
      const opened = may.ok
        ? await openText(means, token, { purpose: "token", subject: item_id }, key_id)
        : may;
      if (!opened.ok) {
        spare++;
        return failed(entry, 1, opened.error, means.now(), patience);
      }
      const answer = await Item.updateWebhook(opened.value, targetOf(held, entry), means.plaid);
      if (answer.ok) return done(entry, answer.value.request_id);
      const failure: KeeperFailure = { kind: "plaid", item_id, failure: answer.error };
      noteLimit(ground, entry, failure);
      return failed(entry, 1, failure, means.now(), patience);
    },

    undone: asItWas,

    async also(sql, held, ended) {
      const ours = ended.filter(({ entry }) => leases.has(entry.item_id));
      const released = await releaseLeases(
        sql,
        means.database.differences.rows,
        ours.map(({ entry }) => leases.get(entry.item_id)!),
      );
      const isOurs = (one: Ended) => leases.has(one.entry.item_id);
      const kept = ended.map((one) =>
        isOurs(one) && one.outcome === "done" && !released.has(leaseOfItem(one.entry.item_id))
          ? failed(one.entry, 1, { kind: "busy", item_id: one.entry.item_id }, means.now(), patience)
          : one,
      );
      const moved = kept.filter((one) => isOurs(one) && one.outcome === "done");
      if (moved.length > 0)
        await write(
          means,
          sql,
          moved.map(({ entry, request_id = null }) => ({
            item_id: entry.item_id,
            webhook: targetOf(held, entry),
            request_id,
          })),
        );
      const others =
        (await single.also?.(
          sql,
          held,
          kept.filter((one) => !isOurs(one)),
        )) ?? [];
      return [...kept.filter(isOurs), ...others];
    },

    async dropped(ended) {
      const some = ended.flatMap(({ entry }) => leases.get(entry.item_id) ?? []);
      // Where this fails they run out.
      void (await means.database.read((sql) => releaseLeases(sql, means.database.differences.rows, some)));
    },
  };
}

interface Taken {
  readonly lease: Lease;
  readonly said?: Ended | undefined;
  readonly ready?: Leased | undefined;
}

/**
 * Takes those leases that are free, looks at the Items under them, and counts the attempt of those that are ready: where a
 * worker is killed, one knows by that which may have been moved.
 */
function take(
  ground: Ground,
  held: Held,
  entries: readonly Entry[],
): Promise<Result<ReadonlyMap<string, Taken>, KeeperFailure>> {
  const { means } = ground;
  const { database, holder, now, leaseMs } = means;
  const { rows } = database.differences;
  const ids = entries.map(({ item_id }) => item_id).sort();
  return transact(means, async (sql) => {
    const names = ids.map(leaseOfItem);
    const leases = await claimLeases(sql, rows, {
      names,
      holder: sweeperOf(holder),
      now: now(),
      forMs: leaseMs,
    });
    const items = await sql
      .selectFrom(rows("wanted", { id: { kind: "text", values: ids } }))
      .innerJoin("items", "items.item_id", "wanted.id")
      .select(["items.item_id", "items.state", "items.token_version", "items.webhook", "items.token"])
      .select("items.key_id")
      .select(intentIsOpen().as("open"))
      .execute();
    const byId = new Map(items.map((row) => [row.item_id, row]));
    const taken = new Map<string, Taken>();
    for (const entry of entries) {
      const { item_id } = entry;
      const lease = leases.get(leaseOfItem(item_id));
      if (!lease) continue;
      const row = byId.get(item_id);
      const now = row && entry.now && { ...entry.now, ...row };
      const said = now ? verdict(ground, held, { ...entry, now }) : undefined;
      if (now && !said && row.token && !row.open) {
        const { token, key_id } = row;
        taken.set(item_id, { lease, ready: { entry, attempt: 1, lease, token, key_id } });
      } else taken.set(item_id, { lease, said });
    }
    const ready = [...taken.values()].flatMap(({ ready }) => ready?.entry ?? []);
    await countAttempts(means, sql, held, ready);
    return ok(taken);
  });
}

async function write(
  { database, environment, now }: Means,
  sql: Sql,
  moved: readonly {
    readonly item_id: string;
    readonly webhook: string | null;
    readonly request_id: string | null;
  }[],
): Promise<void> {
  const sorted = moved.toSorted((one, other) => (one.item_id < other.item_id ? -1 : 1));
  const text = (name: "item_id" | "webhook" | "request_id") =>
    ({ kind: "text", values: sorted.map((one) => one[name]) }) as const;
  const { rows } = database.differences;
  await Promise.all([
    sql
      .updateTable("items")
      .from(rows("moved", { item_id: text("item_id"), webhook: text("webhook") }))
      .set((row) => ({ webhook: row.ref("moved.webhook"), revision: row("items.revision", "+", 1) }))
      .whereRef("items.item_id", "=", "moved.item_id")
      .execute(),
    sql
      .insertInto("events")
      .columns(["environment", "at", "item_id", "kind", "actor", "detail", "request_id"])
      .expression(
        sql
          .selectFrom(rows("moved", { item_id: text("item_id"), request_id: text("request_id") }))
          .select([
            raw<"sandbox">`${environment}`.as("environment"),
            raw<number>`cast(${now()} as bigint)`.as("at"),
            "moved.item_id",
            raw<string>`'item.webhook_moved'`.as("kind"),
            raw<string>`'sweep'`.as("actor"),
            raw<string>`'{}'`.as("detail"),
            "moved.request_id",
          ]),
      )
      .execute(),
  ]);
}
