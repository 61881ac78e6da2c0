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
import {
  adviceWords,
  countsOf,
  endingOf,
  failuresOf,
  findingWords,
  stopWith,
  titleOf,
} from "./sweep-words.ts";

const lookMs = 500;
/** Looking takes one part in so many of the time. */
const sparing = 20;

type Following = Pick<Call<unknown>, "context" | "out">;

/** A keeper, or a reader. */
interface Seen {
  readonly sweeps: Pick<Sweeps, "status">;
  readonly budget: Pick<Budget, "state">;
}

/** Waits, but not beyond a signal. */
export const pause = (ms: number, signal: AbortSignal): Promise<unknown> =>
  setTimeout(ms, undefined, { signal }).catch(() => {});

/** Gives how it stands when it is over, or undefined when a signal came first. */
export async function follow(
  { context, out }: Following,
  seen: Seen,
  sweepId: number,
): Promise<SweepStatus | undefined> {
  const { now, signal } = context;
  const progress = createProgress(context, out, "Items", null);
  let recorded = now();
  try {
    while (!signal.aborted) {
      const begun = now();
      const read = await seen.sweeps.status(sweepId);
      // A database that is away for a while comes back; the workers wait for it, too.
      if (!read.ok && read.error.kind !== "database") throw stopWith(read.error);
      if (read.ok) {
        const status = read.value;
        if (status.ended_at !== null) return status;
        tell(seen, status, progress);
        if (now() - recorded >= plainEveryMs) {
          recorded = now();
          await out.record({ event: "progress", sweep: status });
        }
      }
      await pause(Math.max(lookMs, sparing * (now() - begun)), signal);
    }
    return undefined;
  } finally {
    progress.end();
  }
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
