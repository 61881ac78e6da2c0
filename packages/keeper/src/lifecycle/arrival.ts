// How a token that Plaid gave becomes part of an Item's row, whoever brings it, and however late. The rule is not the
// fence of a lease but the chain of tokens: Plaid gave it for the one before, so it counts if that is what the row has.

import { err, ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import { leaseOfItem, releaseLease } from "../database/leases.ts";
import type { Sealed } from "../vault/vault.ts";
import type { KeeperFailure } from "./failure.ts";
import {
  addEvent,
  closeIntent,
  endStranded,
  lockItem,
  viewOf,
  type ItemRow,
  type ItemView,
} from "./ledger.ts";
import { databaseFailed, transact, type Means } from "./means.ts";

/** What Plaid gave, and what it takes to put it where it belongs. */
export interface Given {
  readonly kind: "exchange" | "import" | "rotate";
  readonly intent_id: string;
  readonly item_id: string;
  readonly request_id: string | null;
  /** Of the token that this one replaces; 0 for an exchange, and for an import unless that token was found dead. */
  readonly from_version: number;
  /** Of the lease under which it was asked for. */
  readonly fence: number;
  readonly access_token: string;
  readonly about: About;
  /** What Plaid said of an Item that is imported. */
  readonly seen?: Partial<Pick<ItemRow, "state" | "error_code" | "webhook" | "created_at">>;
}

/** What the application said of a new Item. */
export interface About {
  readonly user_id: string | null;
  readonly institution_id: string | null;
  readonly institution_name: string | null;
  /** In hex. */
  readonly fingerprints: readonly string[];
}

export const nothingKnown: About = {
  user_id: null,
  institution_id: null,
  institution_name: null,
  fingerprints: [],
};

/** Puts the token in its place and closes its intent, also where that had been given up; does nothing the second time. */
export async function arrive(
  means: Means,
  given: Given,
  token: Sealed,
): Promise<Result<ItemView, KeeperFailure>> {
  if (given.kind === "rotate") return transact(means, (sql) => rotated(means, sql, given, token));
  const made = await arriveNew(means, given, token);
  if (made) return made;
  const brought = await transact(means, (sql) => bringIn(means, sql, given, token));
  return brought.ok ? ok(brought.value.item) : brought;
}

/** Where the Item is new, as nearly all are: one statement of the database's. Undefined where it is here. */
async function arriveNew(
  { now, environment, exchanges }: Means,
  given: Given,
  token: Sealed,
): Promise<Result<ItemView, KeeperFailure> | undefined> {
  const { intent_id, item_id, request_id, about } = given;
  const { user_id, institution_id, institution_name } = about;
  const at = now();
  const known = { item_id, user_id, institution_id, institution_name };
  const { bytes, key_id } = token;
  const item = { ...known, intent_id, request_id, token: bytes, key_id, at };
  const made = await exchanges.arrive(item, marksOf(given));
  if (made.ok) return ok({ ...newItem, ...known, environment, token_at: at, linked_at: at });
  return made.error.kind === "constraint" ? undefined : err(databaseFailed(made.error));
}

const marksOf = ({ item_id, about }: Given) =>
  about.fingerprints.map((text) => ({ item_id, fingerprint: Buffer.from(text, "hex") }));

/** As the schema makes it. */
const newItem = {
  state: "healthy",
  error_code: null,
  webhook: null,
  token_version: 1,
  revision: 1,
  created_at: null,
  checked_at: null,
  last_webhook_at: null,
  used_at: null,
  consent_expires_at: null,
  disconnect_at: null,
  removed_at: null,
} as const;

/** An Item that came with a token of its own, and whether that was news. */
export interface Brought {
  readonly item: ItemView;
  /** It was not here, or its token was not: an Item that was `known` stays as it is. */
  readonly how: "new" | "healed" | "known";
}

/**
 * A new Item, or one that was known already: a stranded one is whole again, for this is the token that works, and so is one
 * whose own was found dead.
 */
export async function bringIn(
  means: Means,
  sql: Sql,
  given: Given,
  token: Sealed,
): Promise<Result<Brought, KeeperFailure>> {
  const { kind, intent_id, item_id, request_id, from_version, about, seen } = given;
  const { environment, now, database } = means;
  // An import has no intent: the application still has the token.
  const intent =
    kind === "exchange"
      ? await database.differences
          .lockRows(sql.selectFrom("intents").select("outcome").where("intent_id", "=", intent_id))
          .executeTakeFirst()
      : undefined;
  const { user_id, institution_id, institution_name } = about;
  const made =
    intent?.outcome === "done"
      ? undefined
      : await sql
          .insertInto("items")
          .values({
            item_id,
            environment,
            user_id,
            institution_id,
            institution_name,
            state: "healthy",
            ...seen,
            token: token.bytes,
            key_id: token.key_id,
            token_at: now(),
            linked_at: now(),
          })
          .onConflict((conflict) => conflict.column("item_id").doNothing())
          .returningAll()
          .executeTakeFirst();
  let row = made ?? (await lockItem(means, sql, item_id));
  if (!row) return err({ kind: "unknown-item", item_id });
  const isDead = row.token !== null && row.token_version === from_version;
  // Plaid has just exchanged for an Item that was given up here: so it is alive.
  const wasGivenUp = row.state === "stranded" || (row.state === "removed" && kind === "exchange");
  const how = made ? "new" : isDead || wasGivenUp ? "healed" : "known";
  // Brought in before. The intent may be another's by now, under the same name: then the history tells.
  const isAgain =
    intent?.outcome === "done" ||
    (kind === "exchange" && !made && (await isInHistory(sql, item_id, request_id)));
  if (isAgain || (how === "known" && kind === "import")) return ok({ item: viewOf(row), how: "known" });
  // A removal that was given up with its token nobody asks for any more who brings the Item in anew.
  if (row.state === "stranded") await endStranded(sql, item_id).where("kind", "=", "remove").execute();
  if (how === "healed") {
    row = await replaceToken(means, sql, item_id, token);
    if (kind === "exchange") row = await giveTo(sql, row, about);
  }
  const marks = how === "known" ? [] : marksOf(given);
  if (marks.length > 0)
    await sql
      .insertInto("fingerprints")
      .values(marks)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  if (kind === "exchange") {
    await closeIntent(means, sql, intent_id, { outcome: "done", request_id, givenUp: true });
    await sql.updateTable("intents").set({ item_id }).where("intent_id", "=", intent_id).execute();
  }
  const detail = made ? {} : { again: true };
  const event = kind === "import" ? "item.imported" : "item.linked";
  await addEvent(means, sql, { kind: event, item_id, detail, request_id });
  return ok({ item: viewOf(row), how });
}

/** Whether this very answer of Plaid's made the Item, or made it whole, once already. */
async function isInHistory(sql: Sql, itemId: string, requestId: string | null): Promise<boolean> {
  const linked = await sql
    .selectFrom("events")
    .select("seq")
    .where("item_id", "=", itemId)
    .where("kind", "=", "item.linked")
    .where("request_id", "=", requestId)
    .limit(1)
    .executeTakeFirst();
  return linked !== undefined;
}

/** Under which name a keeper's sweeps hold Items by the hundred: a flight of the same keeper must wait for them as for anybody. */
export const sweeperOf = (holder: string): string => `${holder} sweep`;

async function rotated(
  means: Means,
  sql: Sql,
  { intent_id, item_id, request_id, from_version, fence }: Given,
  token: Sealed,
): Promise<Result<ItemView, KeeperFailure>> {
  // In the order in which a flight takes them.
  await releaseLease(sql, { name: leaseOfItem(item_id), fence });
  let row = await lockItem(means, sql, item_id);
  if (!row) return err({ kind: "unknown-item", item_id });
  // Brought in before. An Item that was removed with this version was given up for want of this very token.
  if (row.token_version > from_version) return ok(viewOf(row));
  const from = row.state === "stranded" || row.state === "removed" ? row.state : undefined;
  row = await replaceToken(means, sql, item_id, token);
  await closeIntent(means, sql, intent_id, { outcome: "done", request_id, givenUp: true });
  const detail = {
    token_version: row.token_version,
    ...(from && { from, to: "healthy" as const }),
  };
  await addEvent(means, sql, { kind: "item.rotated", item_id, detail, request_id });
  return ok(viewOf(row));
}

/** A link says anew whose an Item is; what it leaves out stays. An import says that of new Items alone. */
async function giveTo(sql: Sql, row: ItemRow, about: About): Promise<ItemRow> {
  const { item_id } = row;
  const user_id = about.user_id ?? row.user_id;
  const institution_id = about.institution_id ?? row.institution_id;
  const institution_name = about.institution_name ?? row.institution_name;
  if (user_id !== row.user_id) await sql.deleteFrom("fingerprints").where("item_id", "=", item_id).execute();
  return sql
    .updateTable("items")
    .set({ user_id, institution_id, institution_name })
    .where("item_id", "=", item_id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

function replaceToken({ now }: Means, sql: Sql, itemId: string, token: Sealed) {
  return sql
    .updateTable("items")
    .set((row) => ({
      token: token.bytes,
      key_id: token.key_id,
      token_version: row("token_version", "+", 1),
      token_at: now(),
      revision: row("revision", "+", 1),
      removed_at: null,
      state: row
        .case()
        .when("state", "in", ["stranded", "removed"])
        .then("healthy" as const)
        .else(row.ref("state"))
        .end(),
    }))
    .where("item_id", "=", itemId)
    .returningAll()
    .executeTakeFirstOrThrow();
}
