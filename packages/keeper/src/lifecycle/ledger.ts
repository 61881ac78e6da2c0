// The rows that the lifecycle reads and writes: Items as others may see them, intents opened and closed, events
// added. Every function takes the transaction it belongs to.

import { err, ok, type Result } from "sett";
import { sql as raw, type Selectable, type Updateable } from "kysely";
import type { Sql } from "../database/connection.ts";
import type { Happening } from "../database/history.ts";
import { releaseLease, type Lease } from "../database/leases.ts";
import {
  notExchange,
  type IntentKind,
  type IntentOutcome,
  type IntentsTable,
  type ItemsTable,
} from "../database/schema.ts";
import type { Sealed } from "../vault/vault.ts";
import type { KeeperFailure } from "./failure.ts";
import { openText, read, sealText, type Means, type Reading } from "./means.ts";

export type ItemRow = Selectable<ItemsTable>;
export type IntentRow = Selectable<IntentsTable>;

const viewed = [
  "item_id",
  "environment",
  "user_id",
  "institution_id",
  "institution_name",
  "state",
  "error_code",
  "webhook",
  "token_version",
  "token_at",
  "revision",
  "created_at",
  "linked_at",
  "checked_at",
  "last_webhook_at",
  "used_at",
  "consent_expires_at",
  "disconnect_at",
  "removed_at",
] as const;

/** An Item as the keeper shows it: everything but its token. Times are milliseconds since 1970. */
export type ItemView = Pick<ItemRow, (typeof viewed)[number]>;

export const viewOf = (row: ItemRow): ItemView =>
  Object.fromEntries(viewed.map((name) => [name, row[name]])) as unknown as ItemView;

/** The Item's row, held until the transaction ends. */
export function lockItem(
  { database, environment }: Means,
  sql: Sql,
  itemId: string,
): Promise<ItemRow | undefined> {
  return database.differences
    .lockRows(
      sql
        .selectFrom("items")
        .selectAll()
        .where("item_id", "=", itemId)
        .where("environment", "=", environment),
    )
    .executeTakeFirst();
}

export async function readItem(means: Reading, itemId: string): Promise<Result<ItemRow, KeeperFailure>> {
  const found = await read(means, (sql) =>
    sql
      .selectFrom("items")
      .selectAll()
      .where("item_id", "=", itemId)
      .where("environment", "=", means.environment)
      .executeTakeFirst(),
  );
  if (!found.ok) return found;
  return found.value ? ok(found.value) : err({ kind: "unknown-item", item_id: itemId });
}

/** The Item as others may see it. */
export async function readView(means: Reading, itemId: string): Promise<Result<ItemView, KeeperFailure>> {
  const row = await readItem(means, itemId);
  return row.ok ? ok(viewOf(row.value)) : row;
}

export const readIntent = (
  means: Means,
  intentId: string,
): Promise<Result<IntentRow | undefined, KeeperFailure>> =>
  read(means, (sql) =>
    sql.selectFrom("intents").selectAll().where("intent_id", "=", intentId).executeTakeFirst(),
  );

/** For a query over `items`: whether something is open on the Item, of this kind where one is told. */
export const intentIsOpen = (kind?: IntentKind) =>
  raw<unknown>`exists (select 1 from intents where intents.item_id = items.item_id and intents.settled_at is null${
    kind ? raw` and intents.kind = ${raw.lit(kind)}` : raw``
  })`;

/** What it takes to do what an intent says. */
export const sealDetail = (
  means: Means,
  intentId: string,
  detail: object,
): Promise<Result<Sealed, KeeperFailure>> =>
  sealText(means, JSON.stringify(detail), { purpose: "intent", subject: intentId });

/** The same, where the intent has any. */
export async function openDetail<Detail>(
  means: Means,
  { intent_id, detail, key_id }: IntentRow,
): Promise<Result<Detail | undefined, KeeperFailure>> {
  if (detail === null) return ok(undefined);
  const text = await openText(means, detail, { purpose: "intent", subject: intent_id }, key_id);
  return text.ok ? ok(JSON.parse(text.value) as Detail) : text;
}

export interface NewIntent {
  readonly intent_id: string;
  readonly kind: IntentKind;
  readonly item_id: string;
  readonly detail: Sealed | null;
}

/** Writes down what is about to be done, under the lease. */
export async function openIntent(
  { environment, now }: Means,
  sql: Sql,
  { intent_id, kind, item_id, detail }: NewIntent,
  { holder, fence }: Pick<Lease, "holder" | "fence">,
): Promise<IntentRow> {
  return sql
    .insertInto("intents")
    .values({
      intent_id,
      environment,
      kind,
      item_id,
      detail: detail?.bytes ?? null,
      key_id: detail?.key_id ?? null,
      holder,
      fence,
      opened_at: now(),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export interface Ending {
  readonly outcome: IntentOutcome;
  readonly request_id: string | null;
  /** A failure, or what else is to be remembered; never a secret. */
  readonly note?: unknown;
  /** Also where it had been given up: the token was found after all. */
  readonly givenUp?: boolean;
}

/** Closes an intent. False when somebody else has closed it: then nothing that goes with it may stay. */
export async function closeIntent(
  { now }: Means,
  sql: Sql,
  intentId: string,
  { outcome, request_id, note, givenUp = false }: Ending,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable("intents")
    .set({
      outcome,
      settled_at: now(),
      request_id,
      note: note === undefined ? null : JSON.stringify(note),
      // What is stranded may be gone on with.
      ...(outcome !== "stranded" && { detail: null, key_id: null }),
    })
    .where("intent_id", "=", intentId)
    .where((is) =>
      givenUp
        ? is.or([is("settled_at", "is", null), is("outcome", "in", ["lost", "stranded"])])
        : is("settled_at", "is", null),
    )
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Ends what was given up on an Item for want of its token, and is not to be gone on with. */
export const endStranded = (sql: Sql, itemId: string) =>
  sql
    .updateTable("intents")
    .set({ outcome: "not-done", detail: null, key_id: null })
    .where("item_id", "=", itemId)
    .where(...notExchange)
    .where("outcome", "=", "stranded");

/** Closes an intent and gives the lease back, or gives an error that rolls back whatever else the transaction did. */
export async function settle(
  means: Means,
  sql: Sql,
  intent: IntentRow,
  lease: Lease,
  ending: Ending,
): Promise<Result<undefined, KeeperFailure>> {
  const held = await releaseLease(sql, lease);
  if (held && (await closeIntent(means, sql, intent.intent_id, ending))) return ok(undefined);
  return err({ kind: "unfinished", item_id: intent.item_id, intent_id: intent.intent_id, cause: null });
}

export type NewEvent = Happening & {
  readonly item_id: string | null;
  readonly request_id?: string | null;
  /** Who or what did it; whoever the keeper works for unless told. */
  readonly actor?: string | undefined;
};

/** Adds to the history. */
export async function addEvent(
  { environment, now, actor: who = "keeper" }: Pick<Means, "environment" | "now" | "actor">,
  sql: Sql,
  { kind, item_id, detail, request_id = null, actor = who }: NewEvent,
): Promise<void> {
  await sql
    .insertInto("events")
    .values({
      environment,
      at: now(),
      item_id,
      kind,
      actor,
      detail: JSON.stringify(detail),
      request_id,
    })
    .execute();
}

/** Its token and what else it was known by are thrown away; the row stays, `removed`. The row must be locked. */
export async function bury({ now }: Means, sql: Sql, itemId: string): Promise<ItemRow> {
  await sql.deleteFrom("fingerprints").where("item_id", "=", itemId).execute();
  return changeItem(sql, itemId, { state: "removed", removed_at: now(), token: null, key_id: null });
}

/** Changes the Item, its state included, and counts the change. The row must be locked. */
export async function changeItem(
  sql: Sql,
  itemId: string,
  changes: Pick<Updateable<ItemsTable>, "state" | "webhook" | "removed_at" | "token" | "key_id">,
): Promise<ItemRow> {
  return sql
    .updateTable("items")
    .set((row) => ({ ...changes, revision: row("revision", "+", 1) }))
    .where("item_id", "=", itemId)
    .returningAll()
    .executeTakeFirstOrThrow();
}
