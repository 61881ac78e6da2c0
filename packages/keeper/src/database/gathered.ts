// Many who ask the same at the same time are asked for at once (group commit, for a server that is far away): whoever
// comes while one round is under way goes along with the next. What one of them did wrong the others do not feel.

import { DatabaseError } from "./failure.ts";
import type { Given } from "./together.ts";

/** So that a round's arrays stay small. */
const atMost = 500;
/** While one is being written to disk, another can be on its way. */
const underWay = 2;

interface Waiting {
  readonly given: Given;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The same as `run`, in fewer rounds. */
export function gathered(run: (given: Given) => Promise<void>): (given: Given) => Promise<void> {
  const queue: Waiting[] = [];
  let running = 0;

  async function work(): Promise<void> {
    running++;
    while (queue.length > 0) {
      const round = queue.splice(0, atMost);
      try {
        await run(together(round));
        for (const { resolve } of round) resolve();
      } catch (error) {
        const [first] = round as [Waiting];
        if (round.length === 1) first.reject(error);
        // A rule of the schema that one of them broke, or a value that cannot be: each for himself.
        else if (isOfOne(error))
          await Promise.all(round.map(({ given, resolve, reject }) => run(given).then(resolve, reject)));
        else for (const { reject } of round) reject(error);
      }
    }
    running--;
  }

  return (given) =>
    new Promise<void>((resolve, reject) => {
      queue.push({ given, resolve, reject });
      if (running < underWay) void work();
    });
}

const isOfOne = (error: unknown) =>
  !(error instanceof DatabaseError) || /^(constraint|refused)$/.test(error.failure.kind);

const together = (round: readonly Waiting[]): Given =>
  round.length === 1
    ? round[0]!.given
    : Object.fromEntries(
        Object.keys(round[0]!.given).map((table) => [table, round.flatMap(({ given }) => given[table]!)]),
      );
