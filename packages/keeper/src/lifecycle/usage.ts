// When the token of each Item was last lent, written down once a day, so that an audit finds those that are billed and used by nobody.
// It is written behind those who use Items, many at a time; what a crash loses is written with the next use.

import type { Means } from "./means.ts";

/** Takes that an Item's token is being lent, and when that was last written down. */
export type Lent = (itemId: string, usedAt: number | null) => void;

export interface Usage {
  readonly lent: Lent;
  /** Writes what is still to be written. */
  close(): Promise<void>;
}

/** The step of the schema with which uses began to be written down: of the time before it nothing is known. */
export const countedSince = 6;

const dayMs = 24 * 3_600_000;
/** So long one use waits for others to be written with. */
const waitMs = 100;
const atOnce = 500;

export function createUsage({ database, now, wait }: Pick<Means, "database" | "now" | "wait">): Usage {
  let used = new Set<string>();
  /** The last time of theirs: the writing itself may have to wait for the database. */
  let at = 0;
  let due: Promise<void> | undefined;

  const writeAll = async () => {
    const ids = [...used].sort();
    const usedAt = at;
    used = new Set();
    for (let from = 0; from < ids.length; from += atOnce) {
      const some = { id: { kind: "text", values: ids.slice(from, from + atOnce) } } as const;
      // Where this fails, the next use says it again.
      void (await database.read((sql) =>
        sql
          .updateTable("items")
          .from(database.differences.rows("used", some))
          .set({ used_at: usedAt })
          .whereRef("items.item_id", "=", "used.id")
          .execute(),
      ));
    }
  };
  let written: Promise<unknown> = Promise.resolve();
  /** Resolves when what was begun before is written, too. */
  const write = async () => void (await (written = Promise.all([written, writeAll()])));
  return {
    lent(itemId, usedAt) {
      const time = now();
      if (usedAt !== null && time - usedAt < dayMs) return;
      at = time;
      used.add(itemId);
      due ??= wait(waitMs).then(() => {
        due = undefined;
        return write();
      });
    },
    close: write,
  };
}
