// Who waits for whom: in this process those who want the same thing take turns, and others are waited for in growing
// pauses, for as long as one is willing to.

import type { Means } from "./means.ts";

/** Work on the same name, one after the other in the order of asking. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** `isSecond`: somebody was at it when it was asked for. */
  async take<Value>(name: string, work: (isSecond: boolean) => Promise<Value>): Promise<Value> {
    const before = this.#last.get(name);
    const turn = before ? before.then(() => work(true)) : work(false);
    const over = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(name, over);
    try {
      return await turn;
    } finally {
      if (this.#last.get(name) === over) this.#last.delete(name);
    }
  }

  isTaken(name: string): boolean {
    return this.#last.has(name);
  }
}

const shortestPauseMs = 5;
const longestPauseMs = 100;

/** Gives a function that waits a little longer each time, and says no once `patienceMs` have been waited. */
export function patience({ wait }: Pick<Means, "wait">, patienceMs: number): () => Promise<boolean> {
  let waited = 0;
  let pause = shortestPauseMs;
  return async () => {
    if (waited >= patienceMs) return false;
    await wait(pause);
    waited += pause;
    pause = Math.min(2 * pause, longestPauseMs);
    return true;
  };
}
