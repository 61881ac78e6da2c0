// A worker of this process: takes shards as they come, some at a time, until it is told to stop. It may come and go at
// any time, and be killed.

import { setTimeout as sleep } from "node:timers/promises";
import type { Result } from "sett";
import { callback, integer, type FieldsOf } from "sett/kinds";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { bossJobs, tableJobs, type Job, type Jobs } from "./jobs.ts";
import type { Ground } from "./pool.ts";
import { Setbacks } from "./pace.ts";
import { runShard } from "./shard.ts";

export interface WorkerOptions {
  /** Calls to Plaid at a time, over all its shards; 64 unless told. */
  readonly inFlight?: number | undefined;
  /** Shards at a time; 4 unless told: while one waits for the database, another waits for Plaid. */
  readonly shards?: number | undefined;
  /** How long a killed worker's shard waits for another, in milliseconds; 30 000 unless told. */
  readonly leaseMs?: number | undefined;
  /** How often one looks for work while there is none, in milliseconds; 1 000 unless told. */
  readonly pollMs?: number | undefined;
  /** How often an Item is tried in one sweep; 6 unless told. */
  readonly attempts?: number | undefined;
  /** How long an Item that did not go well is left at first, in milliseconds; 10 000 unless told. */
  readonly pauseMs?: number | undefined;
  /** How long `close` waits for the calls that are out, in milliseconds; 10 000 unless told. */
  readonly graceMs?: number | undefined;
  /** Told of what went wrong in the background; nothing is lost, and it is taken up again. */
  readonly onProblem?: ((problem: unknown) => void) | undefined;
}

/** A timer takes no more. */
const span = (least: number) => integer(least, 2 ** 31 - 1);

export const workerFields: FieldsOf<WorkerOptions> = {
  "inFlight?": span(1),
  "shards?": span(1),
  "leaseMs?": span(1),
  "pollMs?": span(0),
  "attempts?": span(1),
  "pauseMs?": span(0),
  "graceMs?": span(0),
  "onProblem?": callback,
};

export interface Worker {
  /** How many shards it has at the moment. */
  readonly busy: number;
  /** Finishes the calls that are out, and gives back the rest: within `graceMs`, or else the leases run out. */
  close(): Promise<void>;
}

/** With options that are as {@link workerFields} says. */
export function createWorker(
  around: Omit<Ground, "patience">,
  url: string | undefined,
  options: WorkerOptions,
): Worker {
  const { inFlight = 64, shards = 4, leaseMs = 30_000, pollMs = 1_000, graceMs = 10_000 } = options;
  const { attempts = 6, pauseMs = 10_000, onProblem } = options;
  const ground = { ...around, patience: { attempts, pauseMs } };
  const { means } = ground;
  const stopping = new AbortController();
  const { signal } = stopping;
  const setbacks = new Setbacks(means.now);
  const perShard = { inFlight: Math.ceil(inFlight / shards), leaseMs, signal, setbacks, chunks: new Map() };
  const running = new Set<Promise<void>>();
  const problem = (what: unknown) => {
    try {
      onProblem?.(what);
    } catch {
      // A bug in a log line must not stop the work.
    }
  };

  const run = async (job: Job) => {
    try {
      const came = await runShard(ground, job.sweep_id, job.number, perShard);
      if (!came.ok) problem(came.error);
    } catch (error) {
      problem(error);
    } finally {
      await job.over();
    }
  };
  let wake = () => {};
  signal.addEventListener("abort", () => wake());
  /** Until a shard is left, the worker is to stop, or so long. One at a time; it leaves nothing behind at what lives long. */
  const pause = (ms?: number) =>
    new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      const over = new AbortController();
      wake = () => {
        over.abort();
        resolve();
      };
      if (ms !== undefined) void means.wait(ms, over.signal).then(() => resolve());
    });
  /** Says whether there was anything to start. */
  const start = async (jobs: readonly Job[]): Promise<boolean> => {
    let started = false;
    for (const job of jobs) {
      if (setbacks.isLeft(job.sweep_id, job.number)) {
        await job.over();
        continue;
      }
      started = true;
      const working = run(job).finally(() => {
        running.delete(working);
        wake();
      });
      running.add(working);
    }
    return started;
  };

  const open = async (): Promise<Jobs | undefined> => {
    while (!signal.aborted) {
      const opened: Result<Jobs, KeeperFailure> =
        means.database.name === "postgres" && url !== undefined
          ? await bossJobs(means, url, problem)
          : { ok: true, value: tableJobs(means) };
      if (opened.ok) return opened.value;
      problem(opened.error);
      await pause(pollMs);
    }
    return undefined;
  };

  const working = (async () => {
    const jobs = await open();
    if (!jobs) return;
    while (!signal.aborted) {
      const room = shards - running.size;
      if (room === 0) {
        await pause();
        continue;
      }
      const idle = running.size === 0;
      let found = await jobs.next(room);
      // A job of somebody who was killed is his until his heartbeat is missed; his lease may have ended before.
      if (found.ok && found.value.length === 0 && idle) found = await jobs.orphans(room);
      if (!found.ok) problem(found.error);
      if (!found.ok || !(await start(found.value))) await pause(pollMs);
    }
    const finished = new AbortController();
    const grace = sleep(graceMs, undefined, { signal: finished.signal, ref: false }).catch(() => {});
    await Promise.race([Promise.all(running), grace]);
    finished.abort();
    await jobs.close();
  })();

  return {
    get busy() {
      return running.size;
    },
    async close() {
      stopping.abort();
      await working;
    },
  };
}
