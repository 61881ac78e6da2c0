// One shard's Items through an operation: read a chunk ahead, prepared, worked on many at a time, and settled in batches
// while the rest goes on. It knows nothing of what the operation does.

import { err, ok, type Result } from "sett";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { causeOf, databaseFailed, read, type Means } from "../lifecycle/means.ts";
import type { Sql } from "../database/connection.ts";
import type { Chunks, Permits } from "./pace.ts";
import { failed, settle, type Ended, type Entry, type Held, type Patience } from "./settle.ts";
import type { Acts } from "../lifecycle/acts.ts";
import type { Budget } from "../budget/budget.ts";

/** What operations work with. */
export interface Ground {
  /** Its transport counts what it sends as a sweep's. */
  readonly means: Means;
  readonly acts: Acts;
  readonly budget: Pick<Budget, "take" | "refused">;
  readonly patience: Patience;
}

/** An operation, over Items that it has made ready in its own way. */
export interface Operation<Ready = unknown> {
  /** Looks at Items before they are worked on: which are settled already, which are ready. */
  prepare(
    held: Held,
    entries: readonly Entry[],
  ): Promise<Result<{ readonly ended: readonly Ended[]; readonly ready: readonly Ready[] }, KeeperFailure>>;
  /** Does one Item. What was not begun because of the signal comes back as it was. */
  act(held: Held, ready: Ready): Promise<Ended>;
  /** Of one that was made ready and is not begun. */
  undone(ready: Ready): Ended;
  /** What is to be written together with the outcomes, which it may correct. */
  also?(sql: Sql, held: Held, ended: readonly Ended[]): Promise<readonly Ended[]>;
  /** After the outcomes could not be written. */
  dropped?(ended: readonly Ended[]): Promise<void>;
}

export type Passed = "all" | "stopped" | "lost";

/** Until it is known how fast they go: what is made ready may be under leases that others wait for. */
const firstChunk = 4;
const largestChunk = 250;
/** Where all is done while they are made ready. */
const leastChunk = 8;
const batch = 250;
/** How long outcomes wait for company. */
const flushMs = 500;
/** A chunk that takes longer than this is too large: what it holds, others wait for. */
const chunkMs = 1_000;

export interface Flow {
  /** Items at a time. */
  readonly inFlight: number;
  /** What the operation takes its permits from. */
  readonly permits: Pick<Permits, "waiting" | "next">;
  readonly chunks: Chunks;
}

/** Goes once through the Items that are due. */
export async function pass<Ready>(
  ground: Omit<Ground, "acts">,
  operation: Operation<Ready>,
  held: Held,
  { inFlight, permits, chunks }: Flow,
): Promise<Result<Passed, KeeperFailure>> {
  const { means } = ground;
  const queue: Ready[] = [];
  let trouble: KeeperFailure | { readonly kind: "lost" } | undefined;
  let after = held.shard.number * held.sweep.shard_size - 1;
  let exhausted = false;
  let chunk = chunks.get(held.sweep.operation) ?? firstChunk;
  let readAt: number | undefined;
  /** Since then. */
  let begun = 0;
  let refilling: Promise<void> | undefined;

  const refill = async () => {
    if (readAt !== undefined) {
      const took = means.now() - readAt;
      const least = begun > 0 ? 1 : leastChunk;
      if (took > chunkMs) chunk = Math.max(least, Math.floor((chunk * chunkMs) / took));
      else chunk = Math.min(largestChunk, chunk * 2);
      chunks.set(held.sweep.operation, chunk);
    }
    readAt = means.now();
    begun = 0;
    const read = await due(means, held, after, chunk);
    if (!read.ok) return void (trouble ??= read.error);
    if (read.value.length < chunk) exhausted = true;
    if (read.value.length === 0) return;
    after = read.value.at(-1)!.position;
    const prepared = await operation.prepare(held, read.value);
    if (!prepared.ok) return void (trouble ??= prepared.error);
    queue.push(...prepared.value.ready);
    for (const one of prepared.value.ended) collect(one);
  };
  const refillOnce = () =>
    (refilling ??= refill()
      .catch((thrown: unknown) => void (trouble ??= databaseFailed(causeOf(thrown))))
      .finally(() => (refilling = undefined)));
  const stopped = () => trouble !== undefined || held.signal.aborted;

  /** Out of the queue, and on their way to wait for a permit. */
  let handed = 0;
  const next = async (): Promise<Ready | undefined> => {
    for (;;) {
      if (stopped()) return undefined;
      const ready = queue.shift();
      if (ready !== undefined) handed++;
      // Made ready and not begun.
      const ahead = queue.length + handed + permits.waiting;
      if (ahead < Math.min(2 * inFlight, chunk) && !exhausted) void refillOnce();
      if (ready !== undefined) return ready;
      if (refilling) await refilling;
      else if (exhausted) return undefined;
      else await permits.next();
    }
  };

  let buffer: Ended[] = [];
  let flushedAt = means.now();
  let flushing: Promise<void> = Promise.resolve();
  let waiting = 0;
  const flush = () => {
    const some = buffer;
    if (some.length === 0) return;
    buffer = [];
    flushedAt = means.now();
    waiting += some.length;
    flushing = flushing.then(async () => {
      const written =
        trouble?.kind === "lost"
          ? err(trouble)
          : await settle(means, held, some, (sql) => operation.also?.(sql, held, some)).catch(
              (thrown: unknown) => err(databaseFailed(causeOf(thrown))),
            );
      waiting -= some.length;
      if (written.ok) return;
      trouble ??= written.error;
      await operation.dropped?.(some);
    });
  };
  const collect = (ended: Ended) => {
    buffer.push(ended);
    if (buffer.length >= batch || means.now() - flushedAt > flushMs) flush();
  };

  /** One Item over which the program stumbles is no reason to leave the others. */
  const broken = (ready: Ready, thrown: unknown): Ended => {
    const { entry } = operation.undone(ready);
    return failed(ground, entry, databaseFailed(causeOf(thrown)));
  };

  // Those that are out for long are not to keep back what others have brought.
  held.tick = flush;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (let ready = await next(); ready !== undefined; ready = await next()) {
        handed--;
        begun++;
        collect(await operation.act(held, ready).catch((thrown: unknown) => broken(ready, thrown)));
        if (waiting > 4 * batch) await flushing;
      }
    }),
  );
  await refilling;
  for (const ready of queue.splice(0)) buffer.push(operation.undone(ready));
  flush();
  await flushing;
  if (trouble?.kind === "lost") return ok("lost");
  if (trouble) return err(trouble);
  return ok(held.signal.aborted ? "stopped" : "all");
}

async function due(
  means: Means,
  { shard, sweep }: Held,
  after: number,
  limit: number,
): Promise<Result<Entry[], KeeperFailure>> {
  const end = (shard.number + 1) * sweep.shard_size;
  const found = await read(means, (sql) =>
    sql
      .selectFrom("sweep_items")
      .leftJoin("items", "items.item_id", "sweep_items.item_id")
      .selectAll("sweep_items")
      .select(["items.state as is_state", "items.token_version as is_version", "items.webhook as is_webhook"])
      .select(["items.institution_id", "items.checked_at"])
      .where("sweep_items.sweep_id", "=", shard.sweep_id)
      .where("position", ">", after)
      .where("position", "<", end)
      .where("outcome", "in", ["waiting", "unfinished"])
      .where("due_at", "<=", means.now())
      .orderBy("position")
      .limit(limit)
      .execute(),
  );
  if (!found.ok) return found;
  return ok(
    found.value.map(
      ({ is_state: state, is_version, is_webhook: webhook, institution_id, checked_at, ...row }) => ({
        ...row,
        now: state && { state, token_version: is_version ?? 0, webhook, institution_id, checked_at },
      }),
    ),
  );
}
