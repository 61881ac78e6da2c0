// The history as subscribers read it: every event, in order, at least once, over restarts. Each has a cursor in the
// database and a lease on it, so that of several processes one at a time hands out its events. A handler that throws
// keeps its place: it gets the same event again later, and the others do not wait for it.

import { err, ok, type Result } from "sett";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import { claimLease, holdLease, releaseLease, renewLease, type Lease } from "../database/leases.ts";
import type { Environment } from "../database/schema.ts";
import type { KeeperEvent } from "./events.ts";

/** Takes one event. It may come again: after a crash, and after a throw. */
export type EventHandler = (event: KeeperEvent) => unknown;

export interface SubscriptionsOptions {
  readonly database: Database;
  readonly environment: Environment;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A name for this process, unlike that of any other. */
  readonly holder: string;
  /** Told of what a handler threw, and of a database that did not answer. */
  readonly onProblem?: ((subscriber: string, problem: unknown) => void) | undefined;
  /** Aborts when no more events are to be handed out: the one at hand is the last. */
  readonly signal?: AbortSignal | undefined;
  /** How long an event may take before another process may hand it out too; 60 seconds unless told. */
  readonly leaseMs?: number | undefined;
}

/** What one draining came to. */
export interface Drained {
  readonly delivered: number;
  /** `all`: nothing is left. `failed`: the handler threw. `elsewhere`: another process is at it. `closed`. */
  readonly stopped: "all" | "failed" | "elsewhere" | "closed";
}

export interface Subscriptions {
  /**
   * Names a handler. The name is kept with its place in the history: the same name goes on where it was, a new one
   * begins with the first event, or with those to come where `from` says so. Throws for a name that is taken.
   */
  subscribe(name: string, handler: EventHandler, options?: { readonly from?: "beginning" | "now" }): void;
  /** Hands all that is new to one subscriber now, even one that failed a moment ago. */
  drain(name: string): Promise<Result<Drained, DatabaseFailure>>;
  /** Drains those that are due: after each change, and on a timer. One that failed is due later each time, at most 5 minutes. */
  tick(): Promise<void>;
  /** When no handler runs any more. */
  close(): Promise<void>;
}

interface Subscriber {
  readonly handler: EventHandler;
  readonly from: "beginning" | "now";
  running: Promise<Result<Drained, DatabaseFailure>> | undefined;
  failures: number;
  dueAt: number;
}

const pageSize = 100;
const firstRetryMs = 1_000;
const longestRetryMs = 5 * 60_000;

/** Makes the subscriptions of one process; subscribe to them at each start. */
export function createSubscriptions(options: SubscriptionsOptions): Subscriptions {
  const { database, environment, now, holder, onProblem, signal, leaseMs = 60_000 } = options;
  const subscribers = new Map<string, Subscriber>();
  let closed = false;
  const isOver = () => closed || signal?.aborted === true;

  // One look at a time: the database compares each with the last.
  let looked: Promise<unknown> = Promise.resolve();
  const horizon = () => {
    const looking = looked.then(() => database.horizon());
    looked = Promise.allSettled([looking]);
    return looking;
  };

  const problem = (name: string, what: unknown) => {
    try {
      onProblem?.(name, what);
    } catch {
      // A bug in a log line must not stop the events.
    }
  };

  async function drain(name: string): Promise<Result<Drained, DatabaseFailure>> {
    const subscriber = subscribers.get(name);
    if (!subscriber) throw new TypeError("nobody has subscribed under this name");
    // What was written while a draining was at its end must not be overlooked.
    await Promise.allSettled([subscriber.running]);
    if (subscriber.running) return subscriber.running;
    if (isOver()) return ok({ delivered: 0, stopped: "closed" });
    const ended = () => void (subscriber.running = undefined);
    const running = (subscriber.running = claimAndHand(name, subscriber));
    void running.then(ended, ended);
    const outcome = await running;
    if (!outcome.ok) problem(name, outcome.error);
    const failed = !outcome.ok || outcome.value.stopped === "failed";
    subscriber.failures = failed ? subscriber.failures + 1 : 0;
    const delayMs = Math.min(firstRetryMs * 2 ** (subscriber.failures - 1), longestRetryMs);
    subscriber.dueAt = failed ? now() + delayMs : 0;
    return outcome;
  }

  async function claimAndHand(
    name: string,
    subscriber: Subscriber,
  ): Promise<Result<Drained, DatabaseFailure>> {
    const claimed = await database.read((sql) =>
      claimLease(sql, { name: `subscriber:${environment}:${name}`, holder, now: now(), forMs: leaseMs }),
    );
    if (!claimed.ok) return claimed;
    if (!claimed.value) return ok({ delivered: 0, stopped: "elsewhere" });
    const held = { lease: claimed.value };
    try {
      return await hand(name, subscriber, held);
    } finally {
      const released = await database.read((sql) => releaseLease(sql, held.lease));
      // Then it ends by itself.
      if (!released.ok) problem(name, released.error);
    }
  }

  /** Goes through the events page by page; what was handed out is written down at the end of each, or at a failure. */
  async function hand(
    name: string,
    { handler, from }: Subscriber,
    held: { lease: Lease },
  ): Promise<Result<Drained, DatabaseFailure>> {
    const begun = await cursorOf(name, from);
    if (!begun.ok) return begun;
    let seq = begun.value;
    let delivered = 0;
    for (;;) {
      const page = await eventsAfter(seq);
      if (!page.ok) return page;
      if (page.value.events.length === 0 && page.value.upTo === seq) return ok({ delivered, stopped: "all" });
      let stopped: Drained["stopped"] | undefined;
      let reached = seq;
      for (const event of page.value.events) {
        if (isOver()) stopped = "closed";
        else if (now() > held.lease.untilMs - leaseMs / 2) {
          const renewed = await database.read((sql) => renewLease(sql, held.lease, now(), leaseMs));
          if (!renewed.ok) return renewed;
          if (renewed.value) held.lease = renewed.value;
          else stopped = "elsewhere";
        }
        if (stopped) break;
        try {
          await handler(event);
        } catch (error) {
          problem(name, error);
          stopped = "failed";
          break;
        }
        reached = event.seq;
        delivered++;
      }
      if (!stopped) reached = page.value.upTo;
      const moved = await move(name, held.lease, reached);
      if (!moved.ok) return moved;
      if (!moved.value) return ok({ delivered, stopped: "elsewhere" });
      if (stopped) return ok({ delivered, stopped });
      seq = reached;
    }
  }

  async function cursorOf(name: string, from: Subscriber["from"]): Promise<Result<number, DatabaseFailure>> {
    const begin = from === "now" ? await horizon() : ok(0);
    if (!begin.ok) return begin;
    return database.read(async (sql) => {
      await sql
        .insertInto("cursors")
        .values({ environment, subscriber: name, seq: begin.value, updated_at: now() })
        .onConflict((conflict) => conflict.columns(["environment", "subscriber"]).doNothing())
        .execute();
      const row = await sql
        .selectFrom("cursors")
        .select("seq")
        .where("environment", "=", environment)
        .where("subscriber", "=", name)
        .executeTakeFirstOrThrow();
      return row.seq;
    });
  }

  /** A page of events, and the `seq` up to which there are no others. */
  async function eventsAfter(
    seq: number,
  ): Promise<Result<{ readonly events: KeeperEvent[]; readonly upTo: number }, DatabaseFailure>> {
    const complete = await horizon();
    if (!complete.ok) return complete;
    const rows = await database.read((sql) =>
      sql
        .selectFrom("events")
        .selectAll()
        .where("seq", ">", seq)
        .where("seq", "<=", complete.value)
        .orderBy("seq")
        .limit(pageSize)
        .execute(),
    );
    if (!rows.ok) return rows;
    const events = rows.value
      .filter((row) => row.environment === environment)
      .map((row) => ({ ...row, detail: JSON.parse(row.detail) as unknown }) as KeeperEvent);
    const last = rows.value.length === pageSize ? rows.value.at(-1)!.seq : Math.max(complete.value, seq);
    return ok({ events, upTo: last });
  }

  /** Writes down how far it is, unless somebody has taken the lease. */
  async function move(name: string, lease: Lease, seq: number): Promise<Result<boolean, DatabaseFailure>> {
    const moved = await database.transaction<boolean, DatabaseFailure | "lost">(async (sql) => {
      if (!(await holdLease(sql, lease))) return err("lost");
      await sql
        .updateTable("cursors")
        .set({ seq, updated_at: now() })
        .where("environment", "=", environment)
        .where("subscriber", "=", name)
        .execute();
      return ok(true);
    });
    if (moved.ok) return moved;
    return moved.error === "lost" ? ok(false) : err(moved.error);
  }

  return {
    subscribe(name, handler, { from = "beginning" } = {}) {
      if (subscribers.has(name)) throw new TypeError("somebody has subscribed under this name");
      subscribers.set(name, { handler, from, running: undefined, failures: 0, dueAt: 0 });
    },
    drain,
    async tick() {
      const due = [...subscribers].filter(([, { dueAt }]) => dueAt <= now());
      await Promise.all(due.map(([name]) => drain(name)));
    },
    async close() {
      closed = true;
      await Promise.allSettled([...subscribers.values()].map(async ({ running }) => running));
    },
  };
}
