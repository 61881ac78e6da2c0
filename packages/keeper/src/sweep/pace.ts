// What a worker knows beyond one shard: how many Items it does well to make ready at a time, who of a shard waits for a
// permit, and for how long that is left alone which has failed, so that others come first.

import type { SweepOperation } from "../database/schema.ts";
import type { Budget } from "../budget/budget.ts";

/** How many Items of each operation are made ready at a time, as the last shards have found out. */
export type Chunks = Map<SweepOperation, number>;

/** A budget that says who waits. */
export interface Permits extends Pick<Budget, "take" | "refused"> {
  /** How many wait for a permit at the moment. */
  readonly waiting: number;
  /** Until one of those who wait does so no longer. */
  next(): Promise<void>;
}

/** The budget as one shard uses it. */
export function permitsOf(budget: Pick<Budget, "take" | "refused">): Permits {
  let waiting = 0;
  let bell = Promise.withResolvers<void>();
  return {
    get waiting() {
      return waiting;
    },
    next: () => bell.promise,
    async take(path, about) {
      waiting++;
      try {
        return await budget.take(path, about);
      } finally {
        waiting--;
        bell.resolve();
        bell = Promise.withResolvers();
      }
    },
    refused: (...said) => budget.refused(...said),
  };
}

const firstPauseMs = 1_000;
const longestPauseMs = 2 * 60_000;

/** Failures that were no Item's: the longer they go on, the longer what they befell is left. */
export class Setbacks {
  readonly #now: () => number;
  /** In a row, of sweeps and of their shards. */
  readonly #failures = new Map<string, number>();
  readonly #until = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Gives the time when the shard may be tried again. */
  failed(sweepId: number, number: number): number {
    const shard = `${sweepId} ${number}`;
    const times = [`${sweepId}`, shard].map((name) => {
      const count = (this.#failures.get(name) ?? 0) + 1;
      this.#failures.set(name, count);
      return count;
    });
    const dueAt = this.#now() + Math.min(firstPauseMs * 2 ** (Math.max(...times) - 1), longestPauseMs);
    this.#until.set(shard, dueAt);
    return dueAt;
  }

  /** Its row may say otherwise, where that could not be written. */
  isLeft(sweepId: number, number: number): boolean {
    return (this.#until.get(`${sweepId} ${number}`) ?? 0) > this.#now();
  }

  went(sweepId: number, number: number): void {
    for (const name of [`${sweepId}`, `${sweepId} ${number}`]) {
      this.#failures.delete(name);
      this.#until.delete(name);
    }
  }
}
