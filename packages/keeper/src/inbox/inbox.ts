// Plaid's webhooks, from the request to the Item's state. A webhook is answered once it is on disk, sealed; it is
// applied afterwards, in one transaction that moves the Item, writes the history and destroys the body, so that it is
// applied once, whoever dies when and however many processes apply. One that came before its Item waits for it.

import { ok, type Failure, type Result } from "sett";
import { receive, type Receiver, type Refusal, type VerificationKeys } from "sett/webhook";
import type { Database } from "../database/database.ts";
import type { Vault } from "../vault/vault.ts";
import { createApplier, type GivenToken, type Heal, type Outcome } from "./applier.ts";
import {
  databaseDown,
  forget,
  store,
  waiting,
  type InboxFailure,
  type Kind,
  type Waiting,
} from "./deliveries.ts";
import type { Observation } from "./state.ts";

export interface InboxOptions {
  readonly database: Database;
  readonly vault: Vault;
  /** Of the Plaid that sends: `plaidKeys(config)`. */
  readonly keys: VerificationKeys;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Asks /item/get about an Item, where only that can tell in which order things happened. */
  readonly heal?: Heal | undefined;
  /**
   * Takes a public token that came by webhook (Hosted and Multi-Item Link), before it is destroyed. `false` means
   * not yet: it is called again, and may be called again after a crash as well. Without it such tokens are only
   * destroyed.
   */
  readonly takePublicToken?: ((given: GivenToken) => Promise<boolean>) | undefined;
  /** Told when something was written to the history: time to `tick` the subscriptions. */
  readonly onApplied?: (() => void) | undefined;
  readonly onRefusal?: ((refusal: Refusal) => void) | undefined;
  /** Told of what went wrong in the background; nothing is lost, `apply` takes it up again. */
  readonly onProblem?: ((problem: unknown) => void) | undefined;
  /** How long a webhook waits for its Item, or to become readable; 7 days unless told. */
  readonly keepMs?: number | undefined;
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

const DAY = 24 * 3_600_000;
const pageSize = 100;
/** How many Items are worked on at once: each may wait for an answer of Plaid's. */
const width = 16;
/** How far a round looks back that a webhook's coming has set off: not over all that waits for its Item. */
const recentMs = 60_000;

/** Makes the inbox of the vault's environment. */
export function createInbox(options: InboxOptions): Inbox {
  const { database, vault, keys, now, heal, takePublicToken, onApplied, onRefusal } = options;
  let running: Promise<Result<Applied, InboxFailure>> | undefined;
  let next: { since: number; round: Promise<Result<Applied, InboxFailure>> } | undefined;
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

  const keepMs = options.keepMs ?? 7 * DAY;
  const applier = createApplier({ database, vault, now, keepMs, heal, takePublicToken, problem });

  const receiver = receive(
    async (webhook, delivery) => {
      const stored = await store(database, vault, webhook, delivery, now());
      // A throw answers 500, and Plaid sends it again.
      if (!stored.ok) throw new NotStored(stored.error);
      if (!closed) void applyInBackground();
    },
    {
      keys,
      now,
      onRefusal,
      onError: (error) => problem(error instanceof NotStored ? error.failure : error),
    },
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

  // One round at a time; whoever comes during a round shares the next one, which sees what he has stored.
  function apply(since: number): Promise<Result<Applied, InboxFailure>> {
    if (next) {
      next.since = Math.min(next.since, since);
      return next.round;
    }
    const start = (since: number) => {
      const ended = () => void (running = undefined);
      const begun = round(since);
      void begun.then(ended, ended);
      return (running = begun);
    };
    if (!running) return start(since);
    const take = () => {
      const { since } = next!;
      next = undefined;
      return start(since);
    };
    next = { since, round: running.then(take, take) };
    return next.round;
  }

  /** All that waits of what came since then. */
  async function round(since: number): Promise<Result<Applied, InboxFailure>> {
    const total = { applied: 0, early: 0, givenUp: 0, elsewhere: 0, failures: [] as InboxFailure[] };
    const kinds: readonly Kind[] = ["ready", "early"];
    try {
      for (const kind of kinds) {
        let after = { received_at: since, body_sha256: "", iat: -1 };
        for (let more = true; more;) {
          const page = await waiting(database, vault.environment, kind, after, pageSize);
          if (!page.ok) return databaseDown(page.error);
          for (const outcome of await each(
            page.value,
            kind === "ready" ? applier.applyOne : applier.waitOn,
          )) {
            if (outcome.ok) total[outcome.value]++;
            else total.failures.push(outcome.error);
          }
          after = page.value.at(-1) ?? after;
          more = page.value.length === pageSize;
        }
      }
    } finally {
      if (total.applied > 0) changed();
    }
    return ok(total);
  }

  /** Those of one Item in turn, those of several side by side. */
  async function each(
    page: readonly Waiting[],
    work: (one: Waiting) => Promise<Result<Outcome, InboxFailure>>,
  ) {
    const queues = Map.groupBy(page, (one) => one.item_id ?? `${one.body_sha256}.${one.iat}`);
    const left = queues.values();
    const outcomes: Result<Outcome, InboxFailure>[] = [];
    await Promise.all(
      Array.from({ length: Math.min(width, queues.size) }, async () => {
        for (const queue of left) for (const one of queue) outcomes.push(await work(one));
      }),
    );
    return outcomes;
  }

  async function take(
    itemId: string,
    observation: Observation,
    how: "take" | "notice" = "take",
  ): Promise<Result<boolean, InboxFailure>> {
    const taken = await applier[how](itemId, observation);
    if (taken.ok && taken.value) changed();
    return taken;
  }

  return {
    receive: receiver,
    apply: () => apply(-1),
    observe: (itemId, observation) => take(itemId, observation),
    notice: (itemId, observation) => take(itemId, observation, "notice"),
    heal: async (itemId) => {
      if (!heal) throw new TypeError("this inbox was made without heal");
      const asked = await applier.ask(itemId, heal);
      return asked.ok ? take(itemId, asked.value) : asked;
    },
    forget: (olderThanMs) => forget(database, now() - olderThanMs, 1_000),
    close: async () => {
      closed = true;
      // What fails was told already, to whoever asked for it.
      while (next ?? running) await Promise.allSettled([next?.round ?? running]);
    },
  };
}

class NotStored extends Error {
  readonly failure: InboxFailure;

  constructor(failure: InboxFailure) {
    super(`the webhook was not stored: ${failure.kind}`);
    this.failure = failure;
  }
}
