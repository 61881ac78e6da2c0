// Who may work on what, and until when, over all processes. Each time a lease is taken its fence grows, and whoever
// settles the work proves in the same transaction that his fence is still the last: a process that slept too long
// can do no harm.

import { sql as raw } from "kysely";
import type { Sql } from "./connection.ts";
import type { Differences } from "./differences.ts";

/** Who holds it works on the Item. */
export const leaseOfItem = (itemId: string): string => `item ${itemId}`;

export interface Lease {
  readonly name: string;
  readonly holder: string;
  readonly fence: number;
  readonly untilMs: number;
}

/**
 * Takes the lease if it is free or has run out; with `ours`, also if the holder is the same: for those who know that they
 * left it behind. One statement, on its own or within a transaction.
 */
export async function claimLease(
  sql: Sql,
  {
    name,
    holder,
    now,
    forMs,
    ours = false,
  }: { name: string; holder: string; now: number; forMs: number; ours?: boolean },
): Promise<Lease | undefined> {
  const untilMs = now + forMs;
  const row = await sql
    .insertInto("leases")
    .values({ name, holder, fence: 1, until_ms: untilMs })
    .onConflict((conflict) =>
      conflict
        .column("name")
        .doUpdateSet((row) => ({ holder, fence: row("leases.fence", "+", 1), until_ms: untilMs }))
        .where((is) =>
          is.or([is("leases.until_ms", "<=", now), ...(ours ? [is("leases.holder", "=", holder)] : [])]),
        ),
    )
    .returning("fence")
    .executeTakeFirst();
  return row && { name, holder, fence: row.fence, untilMs };
}

/** The same of many at once, in one statement: gives those that were free, by name. */
export async function claimLeases(
  sql: Sql,
  rows: Differences["rows"],
  { names, holder, now, forMs }: { names: readonly string[]; holder: string; now: number; forMs: number },
): Promise<ReadonlyMap<string, Lease>> {
  const untilMs = now + forMs;
  const claimed = await sql
    .insertInto("leases")
    .columns(["name", "holder", "fence", "until_ms"])
    .expression(
      sql
        .selectFrom(rows("wanted", { name: { kind: "text", values: names } }))
        .select([
          "wanted.name",
          raw<string>`${holder}`.as("holder"),
          raw<number>`1`.as("fence"),
          raw<number>`cast(${untilMs} as bigint)`.as("until_ms"),
        ])
        // SQLite reads ON CONFLICT after a SELECT as a join's ON, unless there is a WHERE.
        .where(raw<boolean>`1 = 1`),
    )
    .onConflict((conflict) =>
      conflict
        .column("name")
        .doUpdateSet((row) => ({ holder, fence: row("leases.fence", "+", 1), until_ms: untilMs }))
        .where("leases.until_ms", "<=", now),
    )
    .returning(["name", "fence"])
    .execute();
  return new Map(claimed.map(({ name, fence }) => [name, { name, holder, fence, untilMs }]));
}

/** Whether the lease is still the last one given. Within a transaction it holds until that ends. */
export async function holdLease(sql: Sql, lease: Lease): Promise<boolean> {
  return touch(sql, lease, lease.untilMs);
}

/** Makes the lease last longer. Says no when somebody else has taken it since. */
export async function renewLease(
  sql: Sql,
  lease: Lease,
  now: number,
  forMs: number,
): Promise<Lease | undefined> {
  const untilMs = now + forMs;
  return (await touch(sql, lease, untilMs)) ? { ...lease, untilMs } : undefined;
}

/** Gives the lease back. Says no when somebody else has taken it since: then what was done under it must not stay. */
export async function releaseLease(sql: Sql, lease: Pick<Lease, "name" | "fence">): Promise<boolean> {
  return touch(sql, lease, 0);
}

/** The same of many at once: names those that were still the last given. */
export async function releaseLeases(
  sql: Sql,
  rows: Differences["rows"],
  leases: readonly Pick<Lease, "name" | "fence">[],
): Promise<ReadonlySet<string>> {
  if (leases.length === 0) return new Set();
  const released = await sql
    .updateTable("leases")
    .from(
      rows("mine", {
        name: { kind: "text", values: leases.map(({ name }) => name) },
        fence: { kind: "integer", values: leases.map(({ fence }) => fence) },
      }),
    )
    .set({ until_ms: 0 })
    .whereRef("leases.name", "=", "mine.name")
    .whereRef("leases.fence", "=", "mine.fence")
    .returning("leases.name")
    .execute();
  return new Set(released.map(({ name }) => name));
}

async function touch(
  sql: Sql,
  { name, fence }: Pick<Lease, "name" | "fence">,
  untilMs: number,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable("leases")
    .set({ until_ms: untilMs })
    .where("name", "=", name)
    .where("fence", "=", fence)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}
