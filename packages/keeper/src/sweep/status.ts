// How sweeps stand, and the three things that change it from outside: pause, resume, cancel. Workers see it within a
// second.

import { err, ok, type Result } from "sett";
import { integer } from "sett/kinds";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { refuseUnfit } from "../lifecycle/known.ts";
import { databaseFailed, read, type Reading, type Writing } from "../lifecycle/means.ts";
import { findSweep, isOver, lockSweep, sweepOf, type SweepRow } from "./rows.ts";
import { endSweep, findingPrefix } from "./settle.ts";
import type { Outcome, Sweep, SweepFailure, SweepStatus } from "./sweep.ts";

/** How long a rate is looked at. */
const windowMs = 30_000;
const samples = 60;

/** What was seen of a sweep's pace. */
export type Pace = Map<number, { readonly at: number; readonly settled: number }[]>;

export async function listSweeps(
  means: Reading,
  page: { readonly limit?: number | undefined },
): Promise<Result<readonly Sweep[], KeeperFailure>> {
  refuseUnfit("the options of a list", page, { "limit?": integer(1, Number.MAX_SAFE_INTEGER) });
  const { limit = 20 } = page;
  const found = await read(means, (sql) =>
    sql
      .selectFrom("sweeps")
      .selectAll()
      .where("environment", "=", means.environment)
      .orderBy("sweep_id", "desc")
      .limit(limit)
      .execute(),
  );
  return found.ok ? ok(found.value.map(sweepOf)) : found;
}

export async function statusOf(means: Reading, pace: Pace, sweepId: number): Outcome<SweepStatus> {
  const found = await read(means, async (sql) => ({
    sweep: await findSweep(means, sql, sweepId),
    shards: await sql
      .selectFrom("shards")
      .select(["total", "done", "skipped", "failed", "tally", "unacknowledged"])
      .where("sweep_id", "=", sweepId)
      .execute(),
  }));
  if (!found.ok) return found;
  const { sweep, shards } = found.value;
  if (!sweep) return err({ kind: "unknown-sweep", sweep_id: sweepId });
  const sum = (name: "done" | "skipped" | "failed" | "unacknowledged") =>
    shards.reduce((total, shard) => total + (shard[name] ?? 0), 0);
  const tally: Record<string, number> = {};
  for (const shard of shards)
    for (const [kind, count] of Object.entries(JSON.parse(shard.tally) as Record<string, number>))
      tally[kind] = (tally[kind] ?? 0) + count;
  const findings = Object.entries(tally).filter(([kind]) => kind.startsWith(findingPrefix));
  const failures = Object.entries(tally).filter(([kind]) => !kind.startsWith(findingPrefix));
  const counts = { done: sum("done"), skipped: sum("skipped"), failed: sum("failed") };
  const settled = counts.done + counts.skipped + counts.failed;
  const waiting = sweep.total - settled;
  const ratePerSecond = rateOf(pace, sweep, settled, means.now());
  return ok({
    ...sweepOf(sweep),
    ...counts,
    waiting,
    unacknowledged: sum("unacknowledged"),
    failures: Object.fromEntries(failures),
    findings: Object.fromEntries(findings.map(([kind, count]) => [kind.slice(findingPrefix.length), count])),
    ratePerSecond,
    etaMs: ratePerSecond && !isOver(sweep) ? Math.ceil((waiting / ratePerSecond) * 1_000) : null,
  });
}

function rateOf(pace: Pace, sweep: SweepRow, settled: number, now: number): number | null {
  if (isOver(sweep) || sweep.state === "paused") {
    pace.delete(sweep.sweep_id);
    const ms = (sweep.ended_at ?? 0) - (sweep.begun_at ?? 0);
    return sweep.state === "done" && sweep.begun_at !== null && ms > 0 ? (settled / ms) * 1_000 : null;
  }
  const seen = (pace.get(sweep.sweep_id) ?? []).filter(({ at }) => now - at <= windowMs);
  const first = seen[0] ?? (sweep.begun_at === null ? undefined : { at: sweep.begun_at, settled: 0 });
  pace.set(sweep.sweep_id, [...seen, { at: now, settled }].slice(-samples));
  if (!first || now <= first.at || settled <= first.settled) return null;
  return ((settled - first.settled) / (now - first.at)) * 1_000;
}

/** Pauses, lets go on, or ends. What is in that state already stays as it is. */
export async function change(
  means: Writing,
  sweepId: number,
  to: "paused" | "running" | "cancelled",
): Outcome<Sweep> {
  const changed = await means.database.transaction<SweepRow, SweepFailure>(async (sql) => {
    const sweep = await lockSweep(means, sql, sweepId);
    if (!sweep) return err({ kind: "unknown-sweep", sweep_id: sweepId });
    const { state } = sweep;
    if (state === to || (to === "running" && state === "waiting")) return ok(sweep);
    if (isOver(sweep)) return err({ kind: "wrong-state", sweep_id: sweepId, state });
    if (to === "cancelled") await endSweep(means, sql, sweep, "cancelled");
    else
      await sql
        .updateTable("sweeps")
        .set({ state: to === "running" && sweep.begun_at === null ? "waiting" : to })
        .where("sweep_id", "=", sweepId)
        .execute();
    return ok((await findSweep(means, sql, sweepId))!);
  });
  if (changed.ok) return ok(sweepOf(changed.value));
  return err("committed" in changed.error ? databaseFailed(changed.error) : changed.error);
}
