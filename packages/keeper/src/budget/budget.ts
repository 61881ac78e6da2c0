// How many calls Plaid allows, shared by all processes of all hosts: one allowance for each endpoint of a client, in the
// database, and one for each Item, in memory. Sweeps take a permit before they call and may have to wait for it; live
// calls never wait and are debited. Starts at the limits that Plaid publishes and learns from each 429.

import type { Post, Result } from "sett";
import {
  callback,
  endpointPath,
  faultInOptions,
  invalidField,
  object,
  oneOf,
  orNull,
  text,
  type Fields,
  type FieldsOf,
  type Kind,
} from "sett/kinds";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import { createAccount } from "./account.ts";
import { Companions, type About } from "./companions.ts";
import { publishedLimits, unpublished, type EndpointLimits, type GivenLimits } from "./limits.ts";
import { countedPost } from "./post.ts";
import type { Terms } from "./terms.ts";
import { Till } from "./till.ts";

/** What may be set for one endpoint, for all processes. What is left out stays. */
export interface BudgetChange {
  /** Calls a minute that are never exceeded; `Infinity` for no budget at all; null for what Plaid publishes. */
  readonly perMinute?: number | null | undefined;
  /** What is kept free for live calls, from 0 to below 1; null for the share that `openBudget` was told. */
  readonly share?: number | null | undefined;
}

/** Where the budget of one endpoint stands, as this process last saw it. */
export interface BudgetState {
  readonly path: string;
  /** Calls a minute now; null when there is no budget. */
  readonly perMinute: number | null;
  /** What it grows back to. */
  readonly ceiling: number | null;
  readonly share: number;
  /** Calls of all processes in the last minute, live ones included. */
  readonly usedInLastMinute: number;
  /** Of these, live ones. */
  readonly liveInLastMinute: number;
  /** Until when nothing but a probe is sent, in milliseconds of this process's clock; null when calls go out. */
  readonly pausedUntil: number | null;
  /** Calls a minute at the last 429; null when there was none. */
  readonly refusedAt: number | null;
  /** Grows with each cut. */
  readonly generation: number;
  /** How many of this process wait for a permit. */
  readonly waiting: number;
}

export interface Budget {
  /**
   * Resolves with "go" when one call to `path` about this Item may be sent, which is to be done then and there; with
   * "stopped" when the signal aborts or the budget is closed. What the database says against it is waited out.
   */
  take(
    path: string,
    about?: About & { readonly signal?: AbortSignal | undefined },
  ): Promise<"go" | "stopped">;
  /**
   * A transport that counts what is really sent, and reads the 429s that come back. It never waits. A call of a sweep
   * spends the permit that was taken for it, within some seconds; one without is debited from the sweeps' part. A live
   * call spends no permit: it is debited as live use.
   */
  post(post: Post, use: "live" | "sweep", about?: About): Post;
  /**
   * To be told when a call came back 429 at last, if the transport was not told whom it was about: an Item or an
   * institution that is over its own limit then waits by itself. `code` is Plaid's error_code.
   */
  refused(path: string, code: string, about: About): void;
  /** Changes the budget of one endpoint, for all processes, within seconds and for good. */
  set(path: string, change: BudgetChange): Promise<Result<BudgetState, DatabaseFailure>>;
  /** Where one endpoint stands for all processes, as the database has it now, and with what this process adds. Writes nothing. */
  read(path: string): Promise<Result<BudgetState, DatabaseFailure>>;
  /** Of each endpoint that this process has used, as it last saw it. */
  state(): readonly BudgetState[];
  /** Lets those who wait go ("stopped"), gives unspent slots back and writes down what was used. */
  close(): Promise<void>;
}

export interface BudgetOptions {
  readonly database: Database;
  /** Null where it is not known: `read` and `set` then are of the client that the path was last used by, and `set` needs one. */
  readonly clientId: string | null;
  readonly environment: Environment;
  /** Milliseconds since 1970. Hosts need not agree. */
  readonly now: () => number;
  /** Resolves early when the signal aborts, if it can. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<unknown>;
  /** From 0 to 1: spreads processes that would ask at once. */
  readonly random: () => number;
  /** Other limits than Plaid publishes, by path; "none" for no budgets but those that are `set`. */
  readonly limits?: GivenLimits | "none" | undefined;
  /** What is kept free for live calls of each endpoint, from 0 to below 1; 0.3 unless told. */
  readonly share?: number | undefined;
}

/** Opens the budgets of one client. Throws a TypeError where an option cannot be right. */
export function openBudget(options: BudgetOptions): Budget {
  const { now, random, environment, limits = {}, share = 0.3 } = options;
  refuseUnlessTerms(limits, share);
  const steady = forward(now);
  const account = createAccount({ ...options, now: steady, clock: now });
  const limitsOf = (path: string) =>
    limits === "none" ? { perMinute: Infinity } : { ...publishedLimits(path, environment), ...limits[path] };
  const limitFrom = (path: string): Terms["limit"] => {
    const { perMinute } = limitsOf(path);
    if (perMinute === Infinity) return "off";
    return perMinute === undefined ? unpublished : { perMinute, ceiling: perMinute };
  };
  const closing = new AbortController();
  const companions = new Companions(steady, (path) => limitsOf(path).perItem ?? Infinity);
  const tills = new Map<string, Till>();
  const tillOf = (path: string): Till => {
    let till = tills.get(path);
    if (!till) {
      till = new Till({
        path,
        terms: { limit: limitFrom(path), share },
        account,
        wait: options.wait,
        random,
      });
      tills.set(path, till);
    }
    return till;
  };

  return {
    async take(path, about = {}) {
      refuseUnlessPath(path);
      refuse(faultInOptions("whom a call is about", about, aboutFields));
      const { signal } = about;
      const till = tillOf(path);
      while (!signal?.aborted && !closing.signal.aborted) {
        const ms = companions.delay(path, about);
        if (ms <= 0) return till.off ? "go" : till.take(signal);
        await waitUnless(options.wait, ms, signal ? [closing.signal, signal] : [closing.signal]);
      }
      return "stopped";
    },
    post(post, use, about) {
      refuse(invalidField(postFields, { post, use }));
      return countedPost(post, use, about, { tillOf, companions, now });
    },
    refused(path, code, about) {
      refuseUnlessPath(path);
      refuse(faultInOptions("whom a call is about", about, aboutFields));
      companions.refused(path, code, about);
    },
    async set(path, change) {
      refuseUnlessPath(path);
      refuse(faultInOptions("a budget's change", change, changeFields, `${path}: `));
      const { perMinute, share } = change;
      return tillOf(path).set({
        ...(perMinute !== undefined && { perMinute: perMinute === Infinity ? "off" : perMinute }),
        ...(share !== undefined && { share }),
      });
    },
    async read(path) {
      refuseUnlessPath(path);
      return tillOf(path).read();
    },
    state: () => [...tills.values()].map((till) => till.view()),
    async close() {
      closing.abort();
      await Promise.all([...tills.values()].map((till) => till.close()));
    },
  };
}

/** The same clock, but that it goes on from where it was when somebody sets it back. */
function forward(now: () => number): () => number {
  let last = -Infinity;
  let offsetMs = 0;
  return () => {
    const at = now() + offsetMs;
    if (at < last) offsetMs += last - at;
    return (last = Math.max(last, at));
  };
}

/** Waits until one of them aborts, at most. They may outlive thousands of waits: none leaves a listener behind. */
async function waitUnless(
  wait: BudgetOptions["wait"],
  ms: number,
  signals: readonly AbortSignal[],
): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const over = new AbortController();
  const end = () => {
    aborted.resolve();
    over.abort();
  };
  for (const signal of signals) signal.addEventListener("abort", end);
  try {
    await Promise.race([wait(ms, over.signal), aborted.promise]);
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", end);
  }
}

const rate: Kind = {
  expected: "a number of calls from 1 on, or Infinity",
  accepts: (value) => typeof value === "number" && value >= 1,
};
const part: Kind = {
  expected: "from 0 to below 1",
  accepts: (value) => typeof value === "number" && value >= 0 && value < 1,
};
const limitFields: FieldsOf<EndpointLimits> = { "perMinute?": rate, "perItem?": rate };
const changeFields: FieldsOf<BudgetChange> = { "perMinute?": orNull(rate), "share?": orNull(part) };

const aboutFields = {
  "itemId?": text,
  "institutionId?": orNull(text),
  "signal?": object,
} satisfies Fields;
const postFields = { post: callback, use: oneOf("live", "sweep") } satisfies Fields;

function refuse(fault: string | undefined): void {
  if (fault !== undefined) throw new TypeError(fault);
}

function refuseUnlessPath(path: unknown, name = "the path"): void {
  if (!endpointPath.accepts(path)) refuse(`${name} must be ${endpointPath.expected}`);
}

/** Refuses the limits and the share of a budget where they cannot be right. */
export function refuseUnlessTerms(limits: unknown = {}, share: unknown = 0): void {
  if (!part.accepts(share)) refuse(`share must be ${part.expected}`);
  if (limits === "none") return;
  if (!object.accepts(limits)) refuse('limits must be an object of limits by path, or "none"');
  for (const [path, limit] of Object.entries(limits as object)) {
    refuseUnlessPath(path, "a path of limits");
    refuse(faultInOptions(`the limit of ${path}`, limit, limitFields, `${path}: `));
  }
}
