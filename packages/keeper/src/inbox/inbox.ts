// Plaid's webhooks, from the request to the Item's state. A webhook is answered once it is on disk, sealed; it is
// applied afterwards, in one transaction that moves the Item, writes the history and destroys the body, so that it is
// applied once, whoever dies when and however many processes apply. One that came before its Item waits for it.

import { ok, type Failure, type Result } from "sett";
import { receive, type Receiver, type Refusal, type VerificationKeys } from "sett/webhook";
import { createApplier, type ApplierOptions } from "./applier.ts";
import { databaseDown, forget, storing, waiting, type InboxFailure } from "./deliveries.ts";
import type { Observation } from "./state.ts";

export interface InboxOptions extends ApplierOptions {
  /** Of the Plaid that sends: `plaidKeys(config)`. */
  readonly keys: VerificationKeys;
  /** Told when something was written to the history: time to `tick` the subscriptions. */
  readonly onApplied?: (() => void) | undefined;
  readonly onRefusal?: ((refusal: Refusal) => void) | undefined;
  /** Told of what went wrong in the background; nothing is lost, `apply` takes it up again. */
  readonly onProblem?: ((problem: unknown) => void) | undefined;
}

/** What one round of applying came to. */
export interface Applied {
  readonly applied: number;
  /** Webhooks that wait for an Item that is not here. */
  readonly early: number;
  /** Webhooks thrown away after `keepMs`. */
  readonly givenUp: number;
  /** What another process applied in the meantime. */
  readonly elsewhere: number;
  /** What has to be tried again. */
  readonly failures: readonly InboxFailure[];
}

export interface Inbox {
  /** The endpoint for Plaid: 200 once the webhook is on disk, whether or not it was there before. */
  readonly receive: Receiver;
  /**
   * Applies all that was stored before the call: at start (what a crash left), when an Item was linked (what came
   * before it), and on a timer.
   */
  apply(): Promise<Result<Applied, InboxFailure>>;
  /** Takes what was seen of an Item otherwise: an answer of /item/get, a refusal, the end of update mode. False: no such Item. */
  observe(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>>;
  /**
   * The same of what is seen in passing, of Items that are used all day: an answer that changes nothing is written down
   * once an hour. False: nothing was written.
   */
  notice(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>>;
  /** Asks /item/get about an Item and takes the answer. What Plaid could not tell comes back as its failure. */
  heal(itemId: string): Promise<Result<boolean, InboxFailure | Failure>>;
  /** Deletes the rows of webhooks applied long ago; they are needed for as long as a delivery may be repeated, 5 minutes. */
  forget(olderThanMs: number): Promise<Result<number, InboxFailure>>;
  /** When nothing is being applied any more. What comes afterwards is stored, and applied by another. */
  close(): Promise<void>;
}

const pageSize = 100;
/** How far a round looks back that a webhook's coming has set off: not over all that waits for its Item. */
const recentMs = 60_000;

/** Makes the inbox of the vault's environment. */
export function createInbox(options: InboxOptions): Inbox {
  const { database, vault, keys, now, heal, onApplied, onRefusal } = options;
  let closed = false;

  // A bug in a listener must not stop the inbox.
  const problem = (what: unknown) => {
    try {
      options.onProblem?.(what);
    } catch {}
  };
  const changed = () => {
    try {
      onApplied?.();
    } catch (error) {
      problem(error);
    }
  };

  const applier = createApplier(options, problem);
  const store = storing(database, vault);
  const receiver = receive(
    async (webhook, delivery) => {
      const stored = await store(webhook, delivery, now());
      // Answers 500, so that Plaid sends it again.
      if (!stored.ok) throw stored.error;
      if (!closed) void applyInBackground();
    },
    { keys, now, onRefusal, onError: problem },
  );

  async function applyInBackground(): Promise<void> {
    try {
      const outcome = await apply(now() - recentMs);
      if (!outcome.ok) problem(outcome.error);
      else for (const failure of outcome.value.failures) problem(failure);
    } catch (error) {
      problem(error);
    }
  }

  let last: Promise<unknown> = Promise.resolve();
  let next: Promise<Result<Applied, InboxFailure>> | undefined;
  let from = Infinity;

  // One round at a time; whoever comes before the next one has begun shares it, and it sees what he has stored.
  function apply(since: number): Promise<Result<Applied, InboxFailure>> {
    from = Math.min(from, since);
    return (next ??= last.then(() => {
      const begun = round(from);
      [next, from, last] = [undefined, Infinity, Promise.allSettled([begun])];
      return begun;
    }));
  }

  /** All that waits of what came since then. */
  async function round(since: number): Promise<Result<Applied, InboxFailure>> {
    const total = { applied: 0, early: 0, givenUp: 0, elsewhere: 0, failures: [] as InboxFailure[] };
    const kinds = [
      ["ready", applier.apply],
      ["early", applier.waitOn],
    ] as const;
    try {
      for (const [kind, work] of kinds) {
        let after = { received_at: since, body_sha256: "", iat: -1 };
        for (let more = true; more;) {
          const page = await waiting(database, vault.environment, kind, after, pageSize);
          if (!page.ok) return databaseDown(page.error);
          if (page.value.length === 0) break;
          for (const outcome of await work(page.value)) {
            if (outcome.ok) total[outcome.value]++;
            else total.failures.push(outcome.error);
          }
          after = page.value.at(-1)!;
          more = page.value.length === pageSize;
        }
      }
    } finally {
      if (total.applied > 0) changed();
    }
    return ok(total);
  }

  async function told(
    taking: Promise<Result<boolean, InboxFailure>>,
  ): Promise<Result<boolean, InboxFailure>> {
    const taken = await taking;
    if (taken.ok && taken.value) changed();
    return taken;
  }

  return {
    receive: receiver,
    apply: () => apply(-1),
    observe: (itemId, observation) => told(applier.take(itemId, observation)),
    notice: (itemId, observation) => told(applier.notice(itemId, observation)),
    heal: async (itemId) => {
      if (!heal) throw new TypeError("this inbox was made without heal");
      const asked = await applier.ask(itemId, heal);
      return asked.ok ? told(applier.take(itemId, asked.value)) : asked;
    },
    forget: (olderThanMs) => forget(database, now() - olderThanMs, 1_000),
    close: async () => {
      closed = true;
      // What fails was told already, to whoever asked for it.
      while (next) await Promise.allSettled([next]);
      await last;
    },
  };
}
