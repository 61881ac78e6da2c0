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
import { openText, read, transact, type Means } from "../lifecycle/means.ts";
import { asItWas, judge, mayCall, oneByOne, targetOf, verdict, type One } from "./one-by-one.ts";
import type { Ground, Operation } from "./pool.ts";
import { countAttempts, failed, done, type Ended, type Entry, type Held } from "./settle.ts";

interface Leased extends One {
  readonly lease: Lease;
  readonly token: Buffer;
  readonly key_id: string | null;
}

export function moveWebhooks(ground: Ground): Operation<One | Leased> {
  const { means } = ground;
  const single = oneByOne(ground, "webhook");
  /** Those of ours, by name. */
  const leases = new Map<string, Lease>();
  /** Permits that came for Items which could not be asked about after all: the next ones take them. */
  let spare = 0;
  const leaseOf = ({ entry }: Ended) => leases.get(leaseOfItem(entry.item_id));
  const isLeased = (one: One | Leased): one is Leased => "lease" in one;

  /** The lease must outlive the call; one that has grown old while the permit was waited for is renewed. */
  const outlives = async (lease: Lease, itemId: string): Promise<Result<undefined, KeeperFailure>> => {
    if (means.now() + (means.plaid.timeoutMs ?? 30_000) <= lease.untilMs) return ok(undefined);
    const renewed = await read(means, (sql) => renewLease(sql, lease, means.now(), means.leaseMs));
    if (!renewed.ok) return renewed;
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
      const ended = [...singles.value.ended, ...judged.ended];
      const { ready } = singles.value;
      if (judged.rest.length === 0) return ok({ ended, ready });
      const taken = await take(ground, held, judged.rest);
      if (!taken.ok) return taken;
      for (const [name, lease] of taken.value.leases) leases.set(name, lease);
      return ok({ ended: [...ended, ...taken.value.ended], ready: [...ready, ...taken.value.ready] });
    },

    async act(held, one) {
      if (!isLeased(one)) return single.act(held, one);
      const { entry, token, key_id } = one;
      const { item_id } = entry;
      if (spare > 0 && !held.signal.aborted) spare--;
      else if (!(await mayCall(ground, held, entry))) return asItWas(one);
      const may = await outlives(one.lease, item_id);
      const opened = may.ok
        ? await openText(means, token, { purpose: "token", subject: item_id }, key_id)
        : may;
      if (!opened.ok) {
        spare++;
        return failed(ground, entry, opened.error);
      }
      const answer = await Item.updateWebhook(opened.value, targetOf(held, entry), means.plaid);
      if (answer.ok) return done(entry, answer.value.request_id);
      return failed(ground, entry, { kind: "plaid", item_id, failure: answer.error });
    },

    undone: asItWas,

    async also(sql, held, ended) {
      const ours = ended.filter((one) => leaseOf(one));
      const others = ended.filter((one) => !leaseOf(one));
      const released = await releaseLeases(
        sql,
        means.database.differences.rows,
        ours.flatMap((one) => leaseOf(one) ?? []),
      );
      const kept = ours.map((one) => {
        const { item_id } = one.entry;
        const isLost = one.outcome === "done" && !released.has(leaseOfItem(item_id));
        return isLost ? failed(ground, one.entry, { kind: "busy", item_id }) : one;
      });
      const moved = kept.filter(({ outcome }) => outcome === "done");
      if (moved.length > 0) await write(means, sql, held, moved);
      return [...kept, ...((await single.also?.(sql, held, others)) ?? others)];
    },

    async dropped(ended) {
      const some = ended.flatMap((one) => leaseOf(one) ?? []);
      // Where this fails they run out.
      void (await means.database.read((sql) => releaseLeases(sql, means.database.differences.rows, some)));
    },
  };
}

/**
 * Takes those leases that are free, looks at the Items under them, and counts the attempt of those that are ready: where a
 * worker is killed, one knows by that which may have been moved.
 */
function take(ground: Ground, held: Held, entries: readonly Entry[]) {
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
    const ended: Ended[] = [];
    const ready: Leased[] = [];
    for (const entry of entries) {
      const { item_id } = entry;
      const lease = leases.get(leaseOfItem(item_id));
      const row = byId.get(item_id);
      const seen = row && entry.now && { ...entry.now, ...row };
      const said = lease && seen && verdict(ground, held, { ...entry, now: seen });
      if (lease && seen?.token && !seen.open && !said)
        ready.push({ entry, lease, token: seen.token, key_id: seen.key_id });
      // Or somebody else is at it.
      else ended.push(said ?? failed(ground, entry, { kind: "busy", item_id }));
    }
    const begun = ready.map(({ entry }) => entry);
    await countAttempts(means, sql, held, begun);
    return ok({ leases, ended, ready });
  });
}

async function write(
  { database, environment, now }: Means,
  sql: Sql,
  held: Held,
  moved: readonly Ended[],
): Promise<void> {
  const sorted = moved.toSorted((one, other) => (one.entry.item_id < other.entry.item_id ? -1 : 1));
  const text = <Value>(of: (one: Ended) => Value) => ({ kind: "text", values: sorted.map(of) }) as const;
  const item_id = text(({ entry }) => entry.item_id);
  const webhook = text(({ entry }) => targetOf(held, entry));
  const request_id = text(({ request_id = null }) => request_id);
  const { rows } = database.differences;
  await Promise.all([
    sql
      .updateTable("items")
      .from(rows("moved", { item_id, webhook }))
      .set((row) => ({ webhook: row.ref("moved.webhook"), revision: row("items.revision", "+", 1) }))
      .whereRef("items.item_id", "=", "moved.item_id")
      .execute(),
    sql
      .insertInto("events")
      .columns(["environment", "at", "item_id", "kind", "actor", "detail", "request_id"])
      .expression(
        sql
          .selectFrom(rows("moved", { item_id, request_id }))
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
