// Several budgets on one database in a time of their own: nothing sleeps, the clock jumps to whatever is due next. Plaid
// is a count of calls, of each of the kinds that a rate limit may be; its real answers are in the sandbox.

import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import type { Answer, Post } from "sett";
import { openBudget, type Budget, type BudgetOptions } from "../src/budget/budget.ts";
import { openDatabase, type Database } from "../src/database/database.ts";
import { value } from "./lifecycle-world.ts";

/** Numbers from 0 to 1, the same each time. */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export class VirtualTime {
  now = 1_750_000_000_000;
  readonly #due: { readonly at: number; readonly wake: () => void }[] = [];
  #busy = 0;

  readonly wait = (ms: number, signal?: AbortSignal): Promise<unknown> =>
    new Promise<void>((resolve) => {
      const timer = { at: this.now + Math.max(0, ms), wake: resolve };
      let [low, high] = [0, this.#due.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.#due[middle]!.at > timer.at) low = middle + 1;
        else high = middle;
      }
      this.#due.splice(low, 0, timer);
      const leave = () => {
        const at = this.#due.indexOf(timer);
        if (at >= 0) this.#due.splice(at, 1);
        resolve();
      };
      if (signal?.aborted) leave();
      else signal?.addEventListener("abort", leave, { once: true });
    });

  /** Time stands still until the work is done. */
  async hold<Value>(work: Promise<Value>): Promise<Value> {
    this.#busy++;
    try {
      return await work;
    } finally {
      this.#busy--;
    }
  }

  /** The same database, whose work is waited for before time goes on. */
  watched(database: Database): Database {
    return {
      ...database,
      transaction: (work, options) => this.hold(database.transaction(work, options)),
      read: (work) => this.hold(database.read(work)),
    };
  }

  async run(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      do await turn();
      while (this.#busy > 0);
      const next = this.#due.at(-1);
      if (!next || next.at > end) break;
      this.#due.pop();
      this.now = Math.max(this.now, next.at);
      next.wake();
    }
    this.now = end;
  }
}

export type Kind = "fixed window" | "sliding log" | "token bucket";

/** A server that allows so many calls a minute, and says what came to it. */
export function server(kind: Kind, time: VirtualTime, limit: number) {
  const counts = { passed: 0, refused: 0 };
  let perMinute = limit;
  let window = 0;
  let inWindow = 0;
  let log: number[] = [];
  let [tokens, filledAt] = [limit / 12, time.now];
  const admits = (): boolean => {
    const { now } = time;
    if (kind === "fixed window") {
      const minute = Math.floor(now / 60_000);
      if (minute !== window) [window, inWindow] = [minute, 0];
      return ++inWindow <= perMinute;
    }
    if (kind === "sliding log") {
      log = log.filter((at) => at > now - 60_000);
      if (log.length >= perMinute) return false;
      log.push(now);
      return true;
    }
    tokens = Math.min(perMinute / 12, tokens + ((now - filledAt) * perMinute) / 60_000);
    filledAt = now;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
  return {
    counts,
    allow: (calls: number) => void (perMinute = calls),
    call(): Answer {
      const passes = admits();
      counts[passes ? "passed" : "refused"]++;
      const body = passes ? "{}" : '{"error_code":"ITEM_GET_LIMIT"}';
      return { status: passes ? 200 : 429, headers: new Map(), body };
    },
  };
}

export const path = "/item/get";
const url = `https://plaid.test${path}`;

export interface Process {
  readonly budget: Budget;
  /** Ends it as a power cut would: nothing is given back. */
  die(): void;
  sent: number;
}

/** Processes that sweep with so many calls under way each. */
export async function fleet(
  place: string,
  kind: Kind,
  {
    limit = 1_000,
    skews = [0, 0, 0, 0],
    share = 0,
    callers = 30,
    ...more
  }: Partial<BudgetOptions> & {
    limit?: number;
    skews?: readonly number[];
    callers?: number;
  } = {},
) {
  const time = new VirtualTime();
  const plaid = server(kind, time, limit);
  const opened = await openDatabases(place, time, skews.length);
  let calls = 0;
  const send = async (random: () => number): Promise<Answer> => {
    await time.wait(20 + random() * 80);
    const answer = plaid.call();
    await time.wait(20 + random() * 80);
    return answer;
  };
  const token = () => `{"access_token":"access-sandbox-${++calls}"}`;
  const processes: Process[] = skews.map((skew, index) => {
    const random = chance(index + 1);
    let alive = true;
    const budget = openBudget({
      database: opened[index]!,
      clientId: "client",
      environment: "production",
      now: () => time.now + skew,
      wait: (ms, signal) => (alive ? time.wait(ms, signal) : new Promise(() => {})),
      random,
      limits: { [path]: { perMinute: limit } },
      share,
      ...more,
    });
    const post = budget.post(() => send(random), "sweep");
    const process: Process = { budget, sent: 0, die: () => (alive = false) };
    const caller = async () => {
      while (alive && (await budget.take(path)) === "go") {
        if (!alive) return;
        process.sent++;
        await post(url, token(), {}, new AbortController().signal);
      }
    };
    for (let count = 0; count < callers; count++) void caller();
    return process;
  });
  const liveSend: Post = () => send(chance(99));
  return {
    time,
    plaid,
    processes,
    /** Calls that wait for nobody. */
    live: (calls: number, of = 0) => {
      const post = processes[of]!.budget.post(liveSend, "live");
      for (let call = 0; call < calls; call++) void post(url, token(), {}, new AbortController().signal);
    },
    /** What came through and what was refused in this time. */
    async during(ms: number) {
      const before = { ...plaid.counts };
      await time.run(ms);
      const passed = plaid.counts.passed - before.passed;
      const refused = plaid.counts.refused - before.refused;
      return { passed, refused, refusals: refused / (passed + refused) };
    },
    async close() {
      const closed = Promise.all(processes.map(({ budget }) => budget.close()));
      await time.run(1_000);
      await closed;
      for (const database of opened) await database.close();
    },
  };
}

async function openDatabases(place: string, time: VirtualTime, count: number): Promise<Database[]> {
  const opened: Database[] = [];
  for (let at = 0; at < count; at++)
    opened.push(time.watched(value(await openDatabase(place, { now: time.now, connections: 2 }))));
  assert.equal(opened.length, count);
  return opened;
}
