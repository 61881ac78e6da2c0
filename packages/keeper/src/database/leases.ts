// Who may work on what, and until when, over all processes. Each time a lease is taken its fence grows, and whoever
// settles the work proves in the same transaction that his fence is still the last: a process that slept too long
// can do no harm.

import type { Sql } from "./connection.ts";

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
