// A clock that all processes of a bench share and that runs faster than the machine's: Plaid counts calls by the minute,
// and nobody waits twenty minutes for a bench. Sandbox, workers and their peers live by it alike.

import { setTimeout as sleep } from "node:timers/promises";

/** From `at`, in the machine's time, on, the clock shows `from` and runs `speed` times as fast. */
export interface Tempo {
  readonly at: number;
  readonly from: number;
  readonly speed: number;
}

/** Finer than Date.now, whose millisecond is many of the clock's. */
export const wall = () => performance.timeOrigin + performance.now();

/** A clock that begins with a whole minute. */
export const newTempo = (speed: number): Tempo => {
  const at = wall();
  return { at, from: Math.ceil(at / 60_000) * 60_000, speed };
};

export interface Clock {
  /** Whole milliseconds since 1970. */
  readonly now: () => number;
  readonly wait: (ms: number, signal?: AbortSignal) => Promise<unknown>;
}

export const clockOf = ({ at, from, speed }: Tempo): Clock => ({
  now: () => Math.floor(from + (wall() - at) * speed),
  wait: (ms, signal) => sleep(ms / speed, undefined, signal && { signal }).catch(() => {}),
});
