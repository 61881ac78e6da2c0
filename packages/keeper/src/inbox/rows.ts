// Items' rows and the history as the inbox reads and writes them: in the same few statements for a hundred Items as for
// one.

import { sql as raw } from "kysely";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { Column } from "../database/differences.ts";
import type { Environment, ItemState } from "../database/schema.ts";
import type { Facts } from "./state.ts";

export type Different = Pick<Database, "differences">;

/** What the inbox knows of an Item, and changes. */
export interface ItemRow {
  readonly item_id: string;
  readonly state: ItemState;
  readonly error_code: string | null;
  readonly webhook: string | null;
  readonly consent_expires_at: number | null;
  readonly disconnect_at: number | null;
  readonly checked_at: number | null;
  readonly last_webhook_at: number | null;
  readonly revision: number;
}

/** The rows of those Items that are here, each with the facts in the newest of its events that has them. */
export async function readRows(
  { differences }: Different,
  sql: Sql,
  environment: Environment,
  itemIds: readonly string[],
  { lock = false } = {},
): Promise<readonly (ItemRow & { readonly facts: Facts | undefined })[]> {
  const wanted = differences.rows("wanted", { id: { kind: "text", values: itemIds } });
  const rows = sql
    .selectFrom("items")
    .select(["item_id", "state", "error_code", "webhook", "consent_expires_at", "disconnect_at"])
    .select(["checked_at", "last_webhook_at", "revision"])
    .where("environment", "=", environment)
    .where("item_id", "in", sql.selectFrom(wanted).select("wanted.id"))
    .orderBy("item_id"); // so that two who lock the same ones do not wait for each other
  // The second comes after the first has its locks, though it is sent with it.
  const [items, details] = await Promise.all([
    (lock ? differences.lockRows(rows) : rows).execute(),
    newestEvents({ differences }, sql, itemIds, ["webhook", "item.state"]),
  ]);
  return items.map((row) => {
    const detail = details.get(row.item_id);
    return { ...row, facts: detail ? (JSON.parse(detail) as { facts?: Facts }).facts : undefined };
  });
}

/** By Item, the detail of the newest of its events of these kinds; Items that have none are left out. */
export async function newestEvents(
  { differences }: Different,
  sql: Sql,
  itemIds: readonly string[],
  kinds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const found = await sql
    .selectFrom(differences.rows("wanted", { id: { kind: "text", values: itemIds } }))
    .select((item) => [
      "wanted.id",
      item
        .selectFrom("events")
        .select("detail")
        .whereRef("item_id", "=", "wanted.id")
        .where("kind", "in", kinds)
        .orderBy("seq", "desc")
        .limit(1)
        .as("detail"),
    ])
    .execute();
  return new Map(found.flatMap(({ id, detail }) => (detail === null ? [] : [[id, detail]])));
}

export interface NewEvent {
  readonly item_id: string | null;
  readonly at: number;
  readonly kind: string;
  readonly actor: string;
  readonly request_id: string | null;
  readonly detail: string;
}

/** Adds to the history, in this order. */
export async function writeEvents(
  { differences }: Different,
  sql: Sql,
  environment: Environment,
  events: readonly NewEvent[],
): Promise<void> {
  if (events.length === 0) return;
  const given = tableOf(events, {
    item_id: "text",
    at: "integer",
    kind: "text",
    actor: "text",
    request_id: "text",
    detail: "text",
  });
  await sql
    .insertInto("events")
    .columns(["environment", "item_id", "at", "kind", "actor", "request_id", "detail"])
    .expression(
      sql
        .selectFrom(differences.rows("given", given))
        .select(raw.lit(environment).as("environment"))
        .select(["item_id", "at", "kind", "actor", "request_id", "detail"]),
    )
    .execute();
}

/** Changes rows that are locked. `changed` is added to the revision that they had. */
export async function writeRows(
  { differences }: Different,
  sql: Sql,
  rows: readonly (ItemRow & { readonly changed: number })[],
): Promise<void> {
  if (rows.length === 0) return;
  const given = tableOf(rows, {
    item_id: "text",
    state: "text",
    error_code: "text",
    webhook: "text",
    consent_expires_at: "integer",
    disconnect_at: "integer",
    checked_at: "integer",
    last_webhook_at: "integer",
    revision: "integer",
    changed: "integer",
  });
  const { numUpdatedRows } = await sql
    .updateTable("items")
    .from(differences.rows("given", given))
    .set((row) => ({
      state: row.ref("given.state"),
      error_code: row.ref("given.error_code"),
      webhook: row.ref("given.webhook"),
      consent_expires_at: row.ref("given.consent_expires_at"),
      disconnect_at: row.ref("given.disconnect_at"),
      checked_at: row.ref("given.checked_at"),
      last_webhook_at: row.ref("given.last_webhook_at"),
      revision: row("items.revision", "+", row.ref("given.changed")),
    }))
    .whereRef("items.item_id", "=", "given.item_id")
    .whereRef("items.revision", "=", "given.revision")
    .executeTakeFirst();
  if (numUpdatedRows !== BigInt(rows.length)) throw new Error("a row was changed under its lock");
}

/** For `differences.rows`: these columns. A value that a webhook brought in a shape that nobody foresaw is refused. */
function tableOf<Row, Name extends keyof Row & string>(
  rows: readonly Row[],
  kinds: { readonly [Of in Name]: "text" | "integer" },
) {
  const columns = Object.entries(kinds) as [Name, "text" | "integer"][];
  const table = columns.map(([name, kind]) => {
    const values = rows.map((row) => row[name]);
    const type = kind === "text" ? "string" : "number";
    if (values.some((value) => value !== null && typeof value !== type))
      throw new TypeError(`${name} is not a ${kind}`);
    return [name, { kind, values }];
  });
  return Object.fromEntries(table) as { [Of in Name]: Column<Row[Of]> };
}
