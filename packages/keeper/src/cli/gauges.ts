// What the database says of the fleet and of its sweeps, for /metrics: counted at most once in a while, and the less
// often the longer the counting takes, so that scraping a million Items costs what scraping ten does.

import { ok, type Result } from "sett";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import { gauge, type Family } from "./exposition.ts";
import { stateNames } from "./states.ts";

const freshMs = 10_000;
/** Counting takes one part in so many of the time. */
const sparing = 50;

/** Reads the gauges, from memory where they are fresh enough. */
export type Gauges = () => Promise<Result<readonly Family[], DatabaseFailure>>;

export function createGauges(database: Database, environment: Environment, now: () => number): Gauges {
  let kept: { readonly families: readonly Family[]; readonly until: number } | undefined;
  let counting: ReturnType<Gauges> | undefined;
  const count: Gauges = async () => {
    const begun = now();
    const read = await database.read((sql) => countAll(sql, environment));
    if (!read.ok) return read;
    const ended = now();
    const families = familiesOf(read.value, ended);
    kept = { families, until: ended + Math.max(freshMs, sparing * (ended - begun)) };
    return ok(families);
  };
  return async () => {
    if (kept && now() < kept.until) return ok(kept.families);
    return (counting ??= count().finally(() => (counting = undefined)));
  };
}

type Sql = Database["sql"];
type Counts = Awaited<ReturnType<typeof countAll>>;

async function countAll(sql: Sql, environment: Environment) {
  // Every environment that ever was has its keys. Where there is one alone, the index on the states is all that is read.
  const others = await sql
    .selectFrom("keys")
    .select("environment")
    .where("environment", "<>", environment)
    .limit(1)
    .executeTakeFirst();
  let items = sql
    .selectFrom("items")
    .select((row) => ["state", row.fn.countAll().as("n")])
    .groupBy("state");
  if (others) items = items.where("environment", "=", environment);
  const intents = sql
    .selectFrom("intents")
    .select((row) => ["kind", row.fn.countAll().as("n"), row.fn.min("opened_at").as("oldest")])
    .where("settled_at", "is", null)
    .where("environment", "=", environment)
    .groupBy("kind");
  const lost = sql
    .selectFrom("intents")
    .select((row) => row.fn.countAll().as("n"))
    .where("outcome", "=", "lost")
    .where("environment", "=", environment);
  const deliveries = sql
    .selectFrom("deliveries")
    .select((row) => [row.fn.countAll().as("n"), row.fn.min("received_at").as("oldest")])
    .where("applied_at", "is", null)
    .where("environment", "=", environment);
  const seq = sql.selectFrom("events").select((row) => row.fn.max("seq").as("last"));
  const cursors = sql
    .selectFrom("cursors")
    .select(["subscriber", "seq"])
    .where("environment", "=", environment);
  return {
    items: await items.execute(),
    intents: await intents.execute(),
    lost: await lost.executeTakeFirstOrThrow(),
    deliveries: await deliveries.executeTakeFirstOrThrow(),
    last: (await seq.executeTakeFirstOrThrow()).last,
    cursors: await cursors.execute(),
    sweeps: await countSweeps(sql, environment),
  };
}

/** Those that are not over. */
async function countSweeps(sql: Sql, environment: Environment) {
  const open = sql
    .selectFrom("sweeps")
    .select((row) => ["operation", "state", row.fn.countAll().as("n")])
    .where("environment", "=", environment)
    .where("ended_at", "is", null)
    .groupBy(["operation", "state"]);
  const items = sql
    .selectFrom("sweeps")
    .innerJoin("shards", "shards.sweep_id", "sweeps.sweep_id")
    .where("sweeps.environment", "=", environment)
    .where("sweeps.ended_at", "is", null)
    .select((row) => [
      "sweeps.operation",
      row.fn.sum("shards.total").as("total"),
      row.fn.sum("shards.done").as("done"),
      row.fn.sum("shards.skipped").as("skipped"),
      row.fn.sum("shards.failed").as("failed"),
    ])
    .groupBy("sweeps.operation");
  return { open: await open.execute(), items: await items.execute() };
}

function familiesOf(
  { items, intents, lost, deliveries, last, cursors, sweeps }: Counts,
  now: number,
): Family[] {
  const byState = new Map(items.map(({ state, n }) => [state, Number(n)]));
  const age = (since: unknown) => (since === null ? 0 : Math.max(0, now - Number(since)) / 1_000);
  const oldest = intents.map(({ oldest }) => age(oldest));
  return [
    gauge(
      "sett_items",
      "Items by state.",
      stateNames.map((state) => ({ labels: { state }, value: byState.get(state) ?? 0 })),
    ),
    gauge(
      "sett_intents_open",
      "What was begun and is not finished, by kind.",
      ["exchange", "rotate", "remove", "webhook"].map((kind) => ({
        labels: { kind },
        value: Number(intents.find((row) => row.kind === kind)?.n ?? 0),
      })),
    ),
    gauge("sett_intents_oldest_seconds", "Age of the oldest of these; 0 without any.", [
      { value: Math.max(0, ...oldest) },
    ]),
    gauge(
      "sett_exchanges_lost",
      "Exchanges whose answer was lost for good; each may be an Item nobody knows.",
      [{ value: Number(lost.n) }],
    ),
    gauge("sett_deliveries_waiting", "Webhooks stored and not applied yet.", [
      { value: Number(deliveries.n) },
    ]),
    gauge("sett_deliveries_oldest_seconds", "Age of the oldest of these; 0 without any.", [
      { value: age(deliveries.oldest) },
    ]),
    gauge(
      "sett_subscriber_lag",
      "How many events a subscriber has still to read.",
      cursors.map(({ subscriber, seq }) => ({
        labels: { subscriber },
        value: Math.max(0, (last ?? 0) - seq),
      })),
    ),
    ...sweepFamilies(sweeps),
  ];
}

function sweepFamilies({ open, items }: Counts["sweeps"]): readonly Family[] {
  const states = ["waiting", "running", "paused"] as const;
  const operations = [...new Set(open.map(({ operation }) => operation))];
  const sweeps = operations.flatMap((operation) =>
    states.map((state) => ({
      labels: { operation, state },
      value: Number(open.find((row) => row.operation === operation && row.state === state)?.n ?? 0),
    })),
  );
  const outcomes = items.flatMap(({ operation, total, done, skipped, failed }) => {
    const counts = { done: Number(done), skipped: Number(skipped), failed: Number(failed) };
    const waiting = Number(total) - counts.done - counts.skipped - counts.failed;
    return Object.entries({ ...counts, waiting }).map(([outcome, value]) => ({
      labels: { operation, outcome },
      value,
    }));
  });
  return [
    gauge("sett_sweeps", "Sweeps that are not over, by state.", sweeps),
    gauge("sett_sweep_items", "Items of these, by outcome.", outcomes),
  ];
}
