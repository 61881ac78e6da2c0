// One flight per Item, over all processes: whoever changes an Item holds its lease, and whoever takes the lease first
// finishes what was left open under the one before. In this process those who want the same Item take turns.

import { err, ok, type Failure, type Result } from "sett";
import { claimLease, leaseOfItem, releaseLease, renewLease, type Lease } from "../database/leases.ts";
import type { Sql } from "../database/connection.ts";
import type { KeeperFailure } from "./failure.ts";
import { lockItem, type IntentRow, type ItemRow, type ItemView } from "./ledger.ts";
import { read, transact, type Means } from "./means.ts";
import type { Salvage } from "./salvage.ts";
import { patience, Turns } from "./turns.ts";

/** An Item under way: its row as of the start, the intent that is open, the lease that both are under. */
export interface Flight {
  readonly item: ItemRow;
  readonly intent: IntentRow;
  readonly lease: Lease;
  /** Whether what the intent says may have been done already. */
  readonly resumed: boolean;
}

/** Writes down, in the transaction that took the lease, what is about to be done; or refuses. */
export type Begin = (sql: Sql, item: ItemRow, lease: Lease) => Promise<Result<IntentRow, KeeperFailure>>;

/** On which terms an Item is waited for that somebody else is at. */
export interface Terms {
  /** As long as the keeper's unless told. */
  readonly patienceMs?: number;
  /** Once it aborts nothing is begun: the Item is `busy`. */
  readonly signal?: AbortSignal;
}

type Landing = Promise<Result<undefined, KeeperFailure>>;

/** Does what the intent says and closes it. It gives up the lease. */
export type Act = (flight: Flight) => Promise<Result<ItemView, KeeperFailure>>;

/** The same, with the Item's token. */
export type Doing = (flight: Flight, token: string) => ReturnType<Act>;

export class Flights {
  readonly #means: Means;
  readonly #salvage: Salvage;
  /** Finishes whatever kind of intent was left open. */
  readonly #finish: Act;
  readonly #turns = new Turns();
  readonly #landings = new Map<string, { readonly patienceMs: number; readonly over: Landing }>();

  constructor(means: Means, salvage: Salvage, finish: Act) {
    this.#means = means;
    this.#salvage = salvage;
    this.#finish = finish;
  }

  /** Begins and acts, once the Item is free and nothing on it is open. */
  fly(
    itemId: string,
    begin: Begin,
    act: Act,
    { signal, patienceMs = this.#means.patienceMs }: Terms = {},
  ): Promise<Result<ItemView, KeeperFailure>> {
    const unlessAborted: Begin = async (sql, item, lease) => {
      if (!signal?.aborted) return begin(sql, item, lease);
      return err({ kind: "busy", item_id: itemId });
    };
    return this.#turns.take(itemId, async () => {
      for (;;) {
        const boarded = await this.#board(itemId, unlessAborted, patienceMs, signal);
        if (!boarded.ok) return boarded;
        const flight = boarded.value!;
        if (!flight.resumed) return act(flight);
        const finished = await this.#finish(flight);
        if (!finished.ok && isInTheWay(finished.error)) return finished;
      }
    });
  }

  /** Finishes what is open on the Item; of endings it gives back the bad one. With no patience it leaves alone what others are at. */
  land(itemId: string, patienceMs = this.#means.patienceMs): Landing {
    const under = this.#landings.get(itemId);
    if (under && under.patienceMs >= patienceMs) return under.over;
    // It may leave alone what this one is willing to wait for.
    if (under)
      return under.over.then((landed) =>
        !landed.ok && landed.error.kind === "busy" ? this.land(itemId, patienceMs) : landed,
      );
    const over = this.#turns
      .take(itemId, async (): Landing => {
        for (;;) {
          const boarded = await this.#board(itemId, undefined, patienceMs);
          if (!boarded.ok) return boarded;
          if (!boarded.value) return ok(undefined);
          const finished = await this.#finish(boarded.value);
          if (finished.ok) continue;
          if (isInTheWay(finished.error) || finished.error.kind === "stranded") return finished;
        }
      })
      .finally(() => this.#landings.delete(itemId));
    this.#landings.set(itemId, { patienceMs, over });
    return over;
  }

  /** Whether somebody in this process is at the Item. */
  isAt(itemId: string): boolean {
    return this.#turns.isTaken(itemId);
  }

  /** Takes the lease; gives what is open under it, or what `begin` opened, or undefined if there is nothing to do. */
  async #board(
    itemId: string,
    begin: Begin | undefined,
    patienceMs: number,
    signal?: AbortSignal,
  ): Promise<Result<Flight | undefined, KeeperFailure>> {
    const means = this.#means;
    const brought = await this.#salvage.bringInFor(itemId);
    if (!brought.ok) return brought;
    const waits = patience(means, patienceMs);
    for (;;) {
      const seen = await this.#look(itemId);
      if (!seen.ok) return seen;
      if (!begin && !seen.value.open) return ok(undefined);
      if (seen.value.free) {
        const taken = await transact(means, (sql) => this.#take(sql, itemId, begin));
        if (!taken.ok) return taken;
        if (taken.value !== "held") return ok(taken.value);
      }
      if (signal?.aborted || !(await waits())) return err({ kind: "busy", item_id: itemId });
    }
  }

  async #take(
    sql: Sql,
    itemId: string,
    begin: Begin | undefined,
  ): Promise<Result<Flight | undefined | "held", KeeperFailure>> {
    const { holder, now, leaseMs } = this.#means;
    // It is our turn: what this process holds, it could not give back, for the database was not there or had no room.
    const name = leaseOfItem(itemId);
    const lease = await claimLease(sql, { name, holder, now: now(), forMs: leaseMs, ours: true });
    if (!lease) return ok("held");
    const item = await lockItem(this.#means, sql, itemId);
    if (!item) return err({ kind: "unknown-item", item_id: itemId });
    const open = await sql
      .selectFrom("intents")
      .selectAll()
      .where("item_id", "=", itemId)
      .where("settled_at", "is", null)
      .orderBy("opened_at")
      .limit(1)
      .executeTakeFirst();
    if (open) return ok({ item, intent: open, lease, resumed: true });
    if (!begin) {
      await releaseLease(sql, lease);
      return ok(undefined);
    }
    const intent = await begin(sql, item, lease);
    return intent.ok ? ok({ item, intent: intent.value, lease, resumed: false }) : intent;
  }

  #look(itemId: string): Promise<Result<{ free: boolean; open: boolean }, KeeperFailure>> {
    const { now, holder } = this.#means;
    return read(this.#means, async (sql) => {
      const lease = sql
        .selectFrom("leases")
        .select(["until_ms", "holder"])
        .where("name", "=", leaseOfItem(itemId));
      const open = sql
        .selectFrom("intents")
        .select("intent_id")
        .where("item_id", "=", itemId)
        .where("settled_at", "is", null);
      const [held, left] = await Promise.all([lease.executeTakeFirst(), open.limit(1).executeTakeFirst()]);
      const free = held === undefined || held.until_ms <= now() || held.holder === holder;
      return { free, open: left !== undefined };
    });
  }
}

/** Whether what was left open is open still. Anything else was an ending, if not a happy one. */
const isInTheWay = ({ kind }: KeeperFailure) =>
  kind === "unfinished" ||
  kind === "pending" ||
  kind === "database" ||
  kind === "vault" ||
  kind === "escrow" ||
  kind === "busy";

/** Before another call to Plaid under the same lease. No: somebody else has taken over, or will. */
export async function renew(means: Means, lease: Lease): Promise<boolean> {
  const renewed = await means.database.read((sql) => renewLease(sql, lease, means.now(), means.leaseMs));
  return renewed.ok && renewed.value !== undefined;
}

/** Gives the lease up, with the intent as it is, and goes out with that. If the database does not take it, it runs out. */
export async function leave<Outcome>(means: Means, lease: Lease, outcome: Outcome): Promise<Outcome> {
  void (await means.database.read((sql) => releaseLease(sql, lease)));
  return outcome;
}

/** The same, with the intent open for whoever comes next. */
export const unfinished = (
  means: Means,
  { item: { item_id }, intent: { intent_id }, lease }: Flight,
  cause: Failure | null,
): Promise<Result<never, KeeperFailure>> =>
  leave(means, lease, err({ kind: "unfinished", item_id, intent_id, cause }));
