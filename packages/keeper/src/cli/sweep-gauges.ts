// What the database says of the sweeps that are not over, for /metrics.

import type { Database } from "../database/database.ts";
import type { Environment } from "../database/schema.ts";
import type { Family } from "./exposition.ts";

type Counts = Awaited<ReturnType<typeof countSweeps>>;

export async function countSweeps(sql: Database["sql"], environment: Environment) {
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

export function sweepFamilies({ open, items }: Counts): readonly Family[] {
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
    { name: "sett_sweeps", type: "gauge", help: "Sweeps that are not over, by state.", samples: sweeps },
    { name: "sett_sweep_items", type: "gauge", help: "Items of these, by outcome.", samples: outcomes },
  ];
}
