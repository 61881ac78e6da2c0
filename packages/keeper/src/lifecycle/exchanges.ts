// The intents of exchanges. An exchange knows of no Item yet, so nobody else can want what it works on: its intent is its
// own lease, and to begin is one statement. A link is two in all, and both are compiled once.

import { sql as raw, type Selectable } from "kysely";
import type { Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Lease } from "../database/leases.ts";
import type { Environment, IntentsTable } from "../database/schema.ts";
import type { RowOf } from "../database/together.ts";

const opened = {
  intent_id: "text",
  user_id: "text",
  detail: "bytes",
  key_id: "text",
  holder: "text",
  until_ms: "integer",
  at: "integer",
} as const;

const arrived = {
  intent_id: "text",
  item_id: "text",
  user_id: "text",
  institution_id: "text",
  institution_name: "text",
  token: "bytes",
  key_id: "text",
  request_id: "text",
  at: "integer",
} as const;

/** Columns of the two that go into the row as they are. */
const ofIntent = ["intent_id", "user_id", "detail", "key_id", "holder", "until_ms"] as const;
const ofItem = ["item_id", "user_id", "institution_id", "institution_name", "token", "key_id"] as const;

const marked = { fingerprint: "bytes", item_id: "text" } as const;

export interface Exchanges {
  /** Writes down what is about to be asked, under a lease whose fence is 1. Fails where the intent's name is in use. */
  open(exchange: RowOf<typeof opened>): Promise<Result<undefined, DatabaseFailure>>;
  /** Makes a new Item, closes its intent and writes the history. Fails where the Item is here already: see arrival.ts. */
  arrive(
    item: RowOf<typeof arrived>,
    fingerprints: readonly RowOf<typeof marked>[],
  ): Promise<Result<undefined, DatabaseFailure>>;
}

/** Compiles the statements. */
export function exchangesOf(database: Database, environment: Environment, actor = "keeper"): Exchanges {
  const open = database.together({ opened }, (_, over) => [
    over("opened", (sql) =>
      sql
        .insertInto("intents")
        .columns([...ofIntent, "opened_at", "environment", "kind", "fence"])
        .expression((given) =>
          given
            .selectFrom("opened")
            .select([...ofIntent, "at"])
            .select([
              raw.lit(environment).as("environment"),
              raw.lit("exchange").as("kind"),
              raw.lit(1).as("fence"),
            ]),
        ),
    ),
  ]);
  const arrive = database.together({ arrived, marked }, (_, over) => [
    over("arrived", (sql) =>
      sql
        .insertInto("items")
        .columns([...ofItem, "token_at", "linked_at", "environment", "state"])
        .expression((given) =>
          given
            .selectFrom("arrived")
            .select([...ofItem, "at", "at as linked_at"])
            .select([raw.lit(environment).as("environment"), raw.lit("healthy").as("state")]),
        ),
    ),
    over("marked", (sql) =>
      sql
        .insertInto("fingerprints")
        .columns(["fingerprint", "item_id"])
        .expression((given) => given.selectFrom("marked").select(["fingerprint", "item_id"])),
    ),
    over("arrived", (sql) =>
      sql
        .updateTable("intents")
        .from("arrived")
        .set((row) => ({
          item_id: row.ref("arrived.item_id"),
          outcome: raw.lit("done" as const),
          settled_at: row.ref("arrived.at"),
          request_id: row.ref("arrived.request_id"),
          note: raw`null`,
          detail: raw`null`,
          key_id: raw`null`,
        }))
        .whereRef("intents.intent_id", "=", "arrived.intent_id")
        .where((row) =>
          row.or([row("settled_at", "is", null), row("outcome", "<>", raw.lit("done" as const))]),
        ),
    ),
    over("arrived", (sql) =>
      sql
        .insertInto("events")
        .columns(["at", "item_id", "request_id", "environment", "kind", "actor", "detail"])
        .expression((given) =>
          given
            .selectFrom("arrived")
            .select(["at", "item_id", "request_id"])
            .select([
              raw.lit(environment).as("environment"),
              raw.lit("item.linked").as("kind"),
              raw.lit(actor).as("actor"),
              raw.lit("{}").as("detail"),
            ]),
        ),
    ),
  ]);
  return {
    open: (exchange) => open({ opened: [exchange] }),
    arrive: (item, marked) => arrive({ arrived: [item], marked }),
  };
}

/** Takes over an exchange that nobody is at. */
export async function claimExchange(
  sql: Sql,
  { name, holder, now, forMs }: { name: string; holder: string; now: number; forMs: number },
): Promise<{ intent: Selectable<IntentsTable>; lease: Lease } | undefined> {
  const untilMs = now + forMs;
  const intent = await sql
    .updateTable("intents")
    .set((row) => ({ holder, fence: row("fence", "+", 1), until_ms: untilMs }))
    .where("intent_id", "=", name)
    .where("settled_at", "is", null)
    .where("until_ms", "<=", now)
    .returningAll()
    .executeTakeFirst();
  return intent && { intent, lease: { name, holder, fence: intent.fence ?? 0, untilMs } };
}

/** Makes the lease last until then. Says no when somebody else has taken it, or has come to an end. */
export async function holdExchange(sql: Sql, { name, fence }: Lease, untilMs: number): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable("intents")
    .set({ until_ms: untilMs })
    .where("intent_id", "=", name)
    .where("fence", "=", fence)
    .where("settled_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}
