// Follows a sweep until it is over, whoever works on it: progress on the way, one object every ten seconds for programs,
// and how it ended. A signal lets go of it; the sweep stays.

import { setTimeout } from "node:timers/promises";
import type { Budget } from "../budget/budget.ts";
import type { SweepStatus } from "../sweep/sweep.ts";
import type { Sweeps } from "../sweep/sweeps.ts";
import { allowanceSaid } from "./allowances.ts";
import type { Call } from "./command.ts";
import type { Ending } from "./exits.ts";
import type { Out } from "./out.ts";
import { createProgress, plainEveryMs } from "./progress.ts";
import { stopOf } from "./sentences.ts";
import { adviceWords, countsOf, endingOf, failuresOf, findingWords, titleOf } from "./sweep-words.ts";

const lookMs = 500;
/** Looking takes one part in so many of the time. */
const sparing = 20;

type Following = Pick<Call<unknown>, "context" | "out">;

/** A keeper, or a reader. */
interface Seen {
  readonly sweeps: Pick<Sweeps, "status">;
  readonly budget: Pick<Budget, "state">;
}

/** What a look at the sweeps found: those that are going, or the end. */
interface Look<End> {
  readonly going?: readonly SweepStatus[];
  readonly end?: End;
}

/** Looks until that finds an end, which it gives, or a signal comes. */
export async function watch<End>(
  { context: { now, signal }, out }: Following,
  look: () => Promise<Look<End>>,
): Promise<End | undefined> {
  let recorded = now();
  while (!signal.aborted) {
    const begun = now();
    const { going = [], end } = await look();
    if (end !== undefined) return end;
    if (going.length > 0 && now() - recorded >= plainEveryMs) {
      recorded = now();
      for (const sweep of going) await out.record({ event: "progress", sweep });
    }
    const ms = Math.max(lookMs, sparing * (now() - begun));
    await setTimeout(ms, undefined, { signal }).catch(() => {});
  }
  return undefined;
}

/** Gives how it stands when it is over, or undefined when a signal came first. */
export function follow(call: Following, seen: Seen, sweepId: number): Promise<SweepStatus | undefined> {
  const progress = createProgress(call.context, call.out, "Items", null);
  return watch(call, async () => {
    const read = await seen.sweeps.status(sweepId);
    // A database that is away for a while comes back; the workers wait for it, too.
    if (!read.ok && read.error.kind !== "database") throw stopOf(read.error);
    if (!read.ok) return {};
    const status = read.value;
    if (status.ended_at !== null) return { end: status };
    tell(seen, status, progress);
    return { going: [status] };
  });
}

/** One step of its progress. */
function tell({ budget }: Seen, status: SweepStatus, progress: ReturnType<typeof createProgress>): void {
  const { total, waiting, failed, unacknowledged, state, ratePerSecond: perSecond, etaMs: leftMs } = status;
  const said = [
    ...(state === "paused" ? [`paused (sett sweep resume ${status.sweep_id})`] : []),
    allowanceSaid(budget, status.operation),
    ...(failed > 0 ? [`${failed} failed: ${failuresOf(status)}`] : []),
    ...(waiting === 0 && unacknowledged > 0 ? [`${unacknowledged} not acknowledged yet`] : []),
  ].filter((part) => part !== "");
  progress.at(total - waiting, said.join(", "), { total, perSecond, leftMs });
}

/** Says how it ended, and what is to be done. */
export async function tellEnd({ out }: { readonly out: Out }, status: SweepStatus): Promise<Ending> {
  await out.record({ event: "ended", sweep: status });
  await out.line(`${titleOf(status)} is ${status.state}: ${countsOf(status)}`);
  tellCounts(out, status);
  const ending = endingOf(status);
  if (ending !== "done" || Object.keys(status.findings).length > 0)
    out.note(`every Item and what is to be done: sett sweep report ${status.sweep_id} --only todo`);
  return ending;
}

/** What failed and what was found, by kind. */
export function tellCounts(out: Out, { failures, findings }: SweepStatus): void {
  for (const [advice, count] of Object.entries(failures))
    out.note(`  failed: ${count} ${advice}: ${adviceWords[advice as keyof typeof adviceWords]}`);
  for (const [kind, count] of Object.entries(findings))
    out.note(`  found: ${count} ${kind}: ${findingWords[kind as keyof typeof findingWords]}`);
}
