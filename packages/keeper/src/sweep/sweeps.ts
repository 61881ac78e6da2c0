// The door of the room: what `keeper.sweep` and `keeper.sweeps` do.

import type { Result } from "sett";
import type { Budget } from "../budget/budget.ts";
import type { SweepOperation } from "../database/schema.ts";
import type { Acts } from "../lifecycle/acts.ts";
import type { Door } from "../lifecycle/door.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { Means, Reading, Writing } from "../lifecycle/means.ts";
import { refuseUnfit } from "../lifecycle/known.ts";
import { report, type ReportRow } from "./report.ts";
import { change, listSweeps, statusOf, type Pace } from "./status.ts";
import { dryRun, rollBack, submit } from "./submit.ts";
import {
  pathOf,
  type DryRun,
  type Outcome,
  type Submitted,
  type Sweep,
  type SweepFailure,
  type SweepOptions,
  type SweepStatus,
} from "./sweep.ts";
import { createWorker, workerFields, type Worker, type WorkerOptions } from "./worker.ts";

/** See `Keeper.sweep`. */
export interface SubmitSweep {
  (
    operation: SweepOperation,
    options: SweepOptions & { readonly dryRun: true },
  ): Promise<Result<DryRun, KeeperFailure>>;
  (
    operation: SweepOperation,
    options?: SweepOptions & { readonly dryRun?: false | undefined },
  ): Promise<Result<Submitted, KeeperFailure>>;
}

/** Sweeps that were submitted. */
export interface Sweeps {
  /** The latest first; 20 unless told. */
  list(options?: { readonly limit?: number | undefined }): Promise<Result<readonly Sweep[], KeeperFailure>>;
  status(sweepId: number): Outcome<SweepStatus>;
  /** Calls that are out are finished; nothing new is begun within a second. */
  pause(sweepId: number): Outcome<Sweep>;
  resume(sweepId: number): Outcome<Sweep>;
  /** For good. What was done stays done; a sweep of webhooks can be rolled back. */
  cancel(sweepId: number): Outcome<Sweep>;
  /** Every Item of the sweep: what happened, and what a person must do. `reportCsv` and `reportJsonLines` write it. */
  report(sweepId: number): AsyncIterable<Result<ReportRow, SweepFailure>>;
  /**
   * Submits a sweep that puts back the webhooks that this one has moved, where nobody has moved them since. It fails as
   * `wrong-state` while that is not over, and, for a moment after `cancel`, while calls are out: then ask again.
   */
  rollback(sweepId: number): Outcome<Submitted>;
  /** Works on sweeps in this process. On PostgreSQL any number of workers may, on SQLite one process. */
  work(options?: WorkerOptions): Worker;
}

/** What can be seen of sweeps without changing anything. */
export interface SweepViews extends Pick<Sweeps, "list" | "status" | "report"> {
  /** What a sweep would be. */
  dryRun(operation: SweepOperation, options: SweepOptions): Promise<Result<DryRun, KeeperFailure>>;
}

/** For the keeper, and for whoever looks without one. */
export function createSweepViews(means: Reading, budget: Pick<Budget, "read">): SweepViews {
  const pace: Pace = new Map();
  return {
    list: (options = {}) => listSweeps(means, options),
    status: (sweepId) => statusOf(means, pace, sweepIdOf(sweepId)),
    report: (sweepId) => report(means, sweepIdOf(sweepId)),
    dryRun: async (operation, options) =>
      dryRun(means, operation, options, await perMinuteOf(budget, operation)),
  };
}

/** What changes sweeps from outside. */
export type SweepChanges = Pick<Sweeps, "pause" | "resume" | "cancel">;

/** For the keeper, and for whoever has only its database. */
export const createSweepChanges = (means: Writing): SweepChanges => ({
  pause: (sweepId) => change(means, sweepIdOf(sweepId), "paused"),
  resume: (sweepId) => change(means, sweepIdOf(sweepId), "running"),
  cancel: (sweepId) => change(means, sweepIdOf(sweepId), "cancelled"),
});

/** How often it is looked whether a sweep is over for which somebody waits. */
const lookMs = 1_000;

interface Around {
  readonly acts: Acts;
  readonly budget: Budget;
  readonly url: string | undefined;
  readonly door: Door;
  /** Told of what went wrong where nobody waits for it. */
  problem(what: unknown): void;
}

export function createSweeps(
  means: Means,
  { acts, budget, url, door, problem }: Around,
): { readonly sweep: SubmitSweep; readonly sweeps: Sweeps; close(): Promise<void> } {
  const views = createSweepViews(means, budget);
  const changes = createSweepChanges(means);
  const workers = new Set<Worker>();
  const { counted } = door;

  const tellAtEnd = async (sweepId: number, onDone: NonNullable<SweepOptions["onDone"]>) => {
    while (!door.closed) {
      const seen = await counted(() => views.status(sweepId));
      if (seen.ok && seen.value.ended_at !== null) return void (await onDone(seen.value));
      await means.wait(lookMs);
    }
  };

  const sweep = async (
    operation: SweepOperation,
    options: SweepOptions & { readonly dryRun?: boolean | undefined } = {},
  ) => {
    if (options?.dryRun) return views.dryRun(operation, options);
    const submitted = await submit(means, operation, options);
    if (submitted.ok && options.onDone)
      void tellAtEnd(submitted.value.sweep_id, options.onDone).catch(problem);
    return submitted;
  };

  return {
    sweep: sweep as SubmitSweep,
    sweeps: {
      list: (options) => counted(() => views.list(options)),
      status: (sweepId) => counted(() => views.status(sweepId)),
      report: (sweepId) => door.each(views.report(sweepId)),
      pause: (sweepId) => counted(() => changes.pause(sweepId)),
      resume: (sweepId) => counted(() => changes.resume(sweepId)),
      cancel: (sweepId) => counted(() => changes.cancel(sweepId)),
      rollback: (sweepId) => counted(() => rollBack(means, sweepIdOf(sweepId))),
      work(options = {}) {
        door.refuseIfClosed();
        refuseUnfit("the options of a worker", options, workerFields);
        const worker = createWorker({ means, acts, budget }, url, options);
        workers.add(worker);
        return worker;
      },
    },
    /** After the door. */
    async close() {
      await Promise.all([...workers].map((worker) => worker.close()));
    },
  };
}

/** Of which sweep somebody speaks. */
function sweepIdOf(value: unknown): number {
  if (Number.isInteger(value)) return value as number;
  throw new TypeError("the sweep_id must be a whole number");
}

/** What a sweep may use of the allowance as it is; null where there is none. */
async function perMinuteOf(budget: Pick<Budget, "read">, operation: SweepOperation): Promise<number | null> {
  const path = Object.hasOwn(pathOf, operation) ? pathOf[operation] : undefined;
  if (path === undefined) return null;
  const state = await budget.read(path);
  return state.ok && state.value.perMinute !== null ? state.value.perMinute * (1 - state.value.share) : null;
}
