// A process that works on sweeps until it is told to end, or until there is nothing left to do: which sweeps end, how far
// all of them are, and /metrics if it is asked for. Its end lets go of what it holds within 10 seconds.

import type { Keeper } from "../keeper.ts";
import type { Sweep, SweepStatus } from "../sweep/sweep.ts";
import type { Worker } from "../sweep/worker.ts";
import { allowanceSaid } from "./allowances.ts";
import type { Call } from "./command.ts";
import { isUnread } from "./context.ts";
import { wrong, type Ending } from "./exits.ts";
import { listen, type Listening } from "./listening.ts";
import { open, refuseUnlessThere } from "./open.ts";
import { sayProblems } from "./problems.ts";
import { createProgress } from "./progress.ts";
import { isPostgres, soundSettings, sqliteFile, type Settings } from "./settings.ts";
import { spanOf } from "./spans.ts";
import { watch } from "./sweep-follow.ts";
import { countsOf, endingOf, failuresOf, titleOf } from "./sweep-words.ts";
import { createTally } from "./tally.ts";

/** It is renewed every second or so, and a process may be slow. */
const shortestLeaseMs = 5_000;
/** Sweeps that are looked at; no more are open at a time. */
const most = 100;

export interface WorkerCommand {
  readonly inFlight?: number;
  readonly metricsPort?: number;
  readonly metricsHost: string;
  readonly untilIdle?: true;
  readonly lease?: string;
}

export async function workUntilTold(call: Call<WorkerCommand>): Promise<Ending> {
  const { context, globals, out, options } = call;
  const settings = soundSettings(context, globals.config);
  refuseUnlessThere(settings);
  const leaseMs = options.lease === undefined ? undefined : spanOf("--lease", options.lease);
  if (leaseMs !== undefined && leaseMs < shortestLeaseMs) throw wrong("--lease must be 5s or more");
  const tally = createTally(context.now);
  const onProblem = sayProblems(call);
  const keeper = await open(call, settings, {
    onAttempt: tally.attempt,
    inFlight: options.inFlight,
    recoverEveryMs: 30_000,
    onProblem,
    onRecovered: tally.recovered,
  });
  let metrics: Listening | undefined;
  try {
    const { metricsHost: host, metricsPort: port } = options;
    if (port !== undefined)
      metrics = await listen(context, settings, keeper, tally, { host, port, option: "--metrics-port" });
    const worker = keeper.sweeps.work({ inFlight: options.inFlight, leaseMs, onProblem });
    const database = placeOf(settings);
    const metricsUrl = metrics && `${metrics.url}/metrics`;
    out.note(
      `sett worker is ready: ${database}, ` +
        (keeper.database.name === "postgres"
          ? "with any number of others"
          : "where one process at a time is the way (several need PostgreSQL)") +
        (metricsUrl === undefined ? "" : `; metrics on ${metricsUrl}`),
    );
    await out.record({ event: "ready", database, ...(metricsUrl !== undefined && { metrics: metricsUrl }) });
    try {
      return await watchOver(call, keeper, worker);
    } finally {
      if (context.signal.aborted) out.note("finishing the calls that are out, giving back the rest");
      await worker.close();
      await out.record({ event: "stopped" });
    }
  } finally {
    await metrics?.close();
    await keeper.close();
  }
}

/** Where it works, without a user and a password. */
function placeOf(settings: Settings): string {
  const { database } = settings;
  if (!isPostgres(database)) return `SQLite ${sqliteFile(settings)}`;
  if (!URL.canParse(database)) return "PostgreSQL";
  const { host, pathname } = new URL(database);
  return `PostgreSQL ${host}${pathname}`;
}

/** Says how it goes, until there is a reason to end. */
async function watchOver(call: Call<WorkerCommand>, keeper: Keeper, worker: Worker): Promise<Ending> {
  const { context, out, options } = call;
  const progress = createProgress(context, out, "Items", null);
  const open = new Set<number>();
  let ending: Ending = "done";
  const idle = await watch(call, async () => {
    const seen = await look(keeper, open);
    if (!seen) return {};
    for (const status of seen.over) {
      out.note(`${titleOf(status)} is ${status.state}: ${countsOf(status)}`);
      await out.record({ event: "ended", sweep: status });
      if (endingOf(status) !== "done") ending = "some";
    }
    const { going } = seen;
    if (going.length > 0) tell(keeper, going, progress);
    else progress.end();
    return options.untilIdle && going.length === 0 && worker.busy === 0 ? { end: ending } : { going };
  });
  if (idle !== undefined) {
    out.note("nothing is left to do");
    return idle;
  }
  return options.untilIdle ? "interrupted" : isUnread(context) ? "failed" : "done";
}

/** Sweeps that are going, and those that were and are over; undefined while the database is away. */
async function look(keeper: Keeper, open: Set<number>) {
  const listed = await keeper.sweeps.list({ limit: most });
  if (!listed.ok) return undefined;
  const isOpen = ({ ended_at }: Sweep) => ended_at === null;
  const going: SweepStatus[] = [];
  const over: SweepStatus[] = [];
  for (const sweep of listed.value) {
    if (!isOpen(sweep) && !open.has(sweep.sweep_id)) continue;
    const status = await keeper.sweeps.status(sweep.sweep_id);
    if (!status.ok) return undefined;
    if (!isOpen(status.value)) over.push(status.value);
    else if (status.value.state !== "paused") going.push(status.value);
  }
  for (const { sweep_id } of over) open.delete(sweep_id);
  for (const { sweep_id } of going) open.add(sweep_id);
  return { going, over };
}

/** One step of the progress of all of them. */
function tell(
  keeper: Keeper,
  going: readonly SweepStatus[],
  progress: ReturnType<typeof createProgress>,
): void {
  const sum = (of: (status: SweepStatus) => number) => going.reduce((total, status) => total + of(status), 0);
  const total = sum((status) => status.total);
  const perSecond = sum(({ ratePerSecond }) => ratePerSecond ?? 0);
  const waiting = sum((status) => status.waiting);
  const [first] = going;
  const said = [
    going.length === 1 ? titleOf(first!) : `${going.length} sweeps`,
    // What they call at Plaid may be the same.
    ...new Set(going.map(({ operation }) => allowanceSaid(keeper.budget, operation))),
    ...going
      .filter(({ failed }) => failed > 0)
      .map((status) => `${status.failed} failed: ${failuresOf(status)}`),
  ].filter((part) => part !== "");
  progress.at(total - waiting, said.join(", "), {
    total,
    perSecond: perSecond === 0 ? null : perSecond,
    leftMs: perSecond === 0 ? null : (waiting / perSecond) * 1_000,
  });
}
