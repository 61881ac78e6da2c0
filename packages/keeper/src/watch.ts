// What is seen of an Item in passing: that a call about it was refused, and what /item/get answered. It is taken in the
// background, so that nobody waits for it; what could not be taken is seen again the next time.

import type { Result } from "sett";
import type { Inbox } from "./inbox/inbox.ts";
import type { Observation } from "./inbox/state.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import { refusalIn, type Lend } from "./lifecycle/use.ts";

export interface Watch {
  /** The same lending, with an eye on what comes of it. */
  readonly use: Lend;
  /** Does the work, and looks at what comes of it. */
  during<Value>(
    itemId: string,
    work: () => Promise<Result<Value, KeeperFailure>>,
  ): Promise<Result<Value, KeeperFailure>>;
  /** Takes what was seen. */
  notice(itemId: string, observation: Observation): void;
  /** Does it after the caller has gone on. A failure is nobody's. */
  behind(work: () => Promise<unknown>): void;
  /** When nothing is being taken any more. */
  close(): Promise<void>;
}

export function createWatch(lend: Lend, inbox: Pick<Inbox, "notice">, now: () => number): Watch {
  const behindUs = new Set<Promise<unknown>>();
  const behind = (work: () => Promise<unknown>) => {
    const over = Promise.allSettled([work()]);
    behindUs.add(over);
    void over.then(() => behindUs.delete(over));
  };
  const notice = (itemId: string, observation: Observation) =>
    behind(() => inbox.notice(itemId, observation));
  /** As of when the work began: what has happened to the Item since then need not be in it. */
  const look = (itemId: string, at: number, outcome: unknown) => {
    const error_code = refusalIn(outcome);
    if (error_code !== undefined) notice(itemId, { kind: "refused", error_code, at });
  };

  return {
    async use(itemId, work, lent) {
      // Looked at once it stands: what a token was refused that was rotated meanwhile says nothing of the Item.
      let at = now();
      try {
        const used = await lend(
          itemId,
          (token) => {
            at = now();
            return work(token);
          },
          lent,
        );
        if (used.ok) look(itemId, at, used.value);
        return used;
      } catch (thrown) {
        look(itemId, at, thrown);
        throw thrown;
      }
    },
    async during(itemId, work) {
      const at = now();
      const result = await work();
      look(itemId, at, result);
      return result;
    },
    notice,
    behind,
    async close() {
      while (behindUs.size > 0) await Promise.all(behindUs);
    },
  };
}
