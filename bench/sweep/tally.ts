// What Plaid answered and when, by the shared clock: counted by those who ask, in bins, and added up over processes.

import type { Post } from "sett";

export const binMs = 1_000;

/** By number of the bin: answers of 200, of 429, others. */
export type Bins = Record<number, [passed: number, refused: number, other: number]>;

export class Tally {
  readonly bins: Bins = {};
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  note(status: number): void {
    const bin = (this.bins[Math.floor(this.#now() / binMs)] ??= [0, 0, 0]);
    bin[status === 200 ? 0 : status === 429 ? 1 : 2]++;
  }

  /** The transport, counted. */
  counted(post: Post): Post {
    return async (...request) => {
      const answer = await post(...request);
      this.note(answer.status);
      return answer;
    };
  }
}

export function added(all: readonly Bins[]): Bins {
  const sum: Bins = {};
  for (const bins of all)
    for (const [bin, counts] of Object.entries(bins)) {
      const into = (sum[Number(bin)] ??= [0, 0, 0]);
      counts.forEach((count, at) => (into[at as 0 | 1 | 2] += count));
    }
  return sum;
}

/** Answers within a stretch of time. */
export function within(
  bins: Bins,
  from: number,
  to: number,
): { passed: number; refused: number; other: number } {
  const sum = { passed: 0, refused: 0, other: 0 };
  for (let bin = Math.ceil(from / binMs); bin < Math.floor(to / binMs); bin++) {
    const [passed, refused, other] = bins[bin] ?? [0, 0, 0];
    sum.passed += passed;
    sum.refused += refused;
    sum.other += other;
  }
  return sum;
}
