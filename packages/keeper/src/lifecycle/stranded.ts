// The ways out of `stranded`. By itself: Plaid is asked from time to time whether the old token works after all, for the
// word that it was dead was one answer on one day. By a person: the Item is given up, its token destroyed, and the row that
// stays says that nobody ever confirmed its removal. (The third way, linking the bank again, is arrival's.)

import { sql as raw } from "kysely";
import { err, Item, ok, type Result } from "sett";
import { claimLease, renewLease } from "../database/leases.ts";
import type { Sql } from "../database/connection.ts";
import { notExchange } from "../database/schema.ts";
import type { Flights } from "./flights.ts";
import { strandedFor, type KeeperFailure } from "./failure.ts";
import {
  addEvent,
  bury,
  changeItem,
  endStranded,
  lockItem,
  viewOf,
  type ItemRow,
  type ItemView,
} from "./ledger.ts";
import { causeOf, databaseFailed, openText, read, transact, type Means } from "./means.ts";
import type { Salvage } from "./salvage.ts";

const HOUR = 3_600_000;
const longestPauseMs = 24 * HOUR;
/** So many in one round: a fleet that was stranded at once is not asked about at once. */
const perRound = 20;

type StrandedFailure = Extract<KeeperFailure, { readonly kind: "stranded" }>;

const leaseOfProbe = (itemId: string) => `probe ${itemId}`;

/** Puts off the question for an hour, unless it is put off already; at first because Plaid has just answered it. */
export const probeLater = ({ holder, now }: Means, sql: Sql, itemId: string) =>
  claimLease(sql, { name: leaseOfProbe(itemId), holder, now: now(), forMs: HOUR });

/** Why these Items are stranded, as it was written down when they came to be, or else what can be said without that. */
export async function strandingsOf(
  { database }: Pick<Means, "database">,
  sql: Sql,
  itemIds: readonly string[],
): Promise<ReadonlyMap<string, StrandedFailure>> {
  if (itemIds.length === 0) return new Map();
  const found = await sql
    .selectFrom(database.differences.rows("asked", { id: { kind: "text", values: itemIds } }))
    .innerJoin("events", "events.item_id", "asked.id")
    .select(["asked.id", "events.detail", "events.request_id"])
    .where("events.kind", "=", "item.stranded")
    .orderBy("events.seq")
    .execute();
  const strandings = new Map(itemIds.map((id) => [id, strandedFor(id)]));
  for (const { id, detail, request_id } of found) {
    const { support } = JSON.parse(detail) as { support: string };
    strandings.set(id, { kind: "stranded", item_id: id, request_id, support });
  }
  return strandings;
}

/** The same of one that is stranded now. */
export const strandingOf = async (means: Pick<Means, "database">, sql: Sql, itemId: string) =>
  (await strandingsOf(means, sql, [itemId])).get(itemId)!;

/** What came of a round of questions. */
export interface Probed {
  /** Items whose token works. */
  readonly restored: readonly string[];
  /** What could not be found out, and why. */
  readonly open: readonly KeeperFailure[];
}

/**
 * Asks about the stranded Items that are due. Each is asked about after an hour, two, four, and then once a day, by one
 * process of all: the question's lease is never given back, it runs out. None of them keeps another from being asked about.
 */
export async function probeStranded(means: Means): Promise<Probed> {
  const { environment, now } = means;
  const due = await read(means, (sql) =>
    sql
      .selectFrom("items")
      .selectAll("items")
      .leftJoin("leases", (join) =>
        join.on("leases.name", "=", raw<string>`${raw.lit(leaseOfProbe(""))} || items.item_id`),
      )
      .where("items.state", "=", "stranded")
      .where("items.environment", "=", environment)
      .where((is) => is.or([is("leases.until_ms", "is", null), is("leases.until_ms", "<=", now())]))
      .orderBy("items.item_id")
      .limit(perRound)
      .execute(),
  );
  if (!due.ok) return { restored: [], open: [due.error] };
  const restored: string[] = [];
  const open: KeeperFailure[] = [];
  for (const item of due.value) {
    const asked = await ask(means, item).catch((thrown: unknown) => err(databaseFailed(causeOf(thrown))));
    if (!asked.ok) open.push(asked.error);
    else if (asked.value) restored.push(item.item_id);
  }
  return { restored, open };
}

/** Whether its token works, and the Item is whole again. */
async function ask(means: Means, item: ItemRow): Promise<Result<boolean, KeeperFailure>> {
  const { item_id, token, key_id } = item;
  const claimed = await claimQuestion(means, item_id);
  if (!claimed.ok) return claimed;
  if (!claimed.value || token === null) return ok(false);
  const text = await openText(means, token, { purpose: "token", subject: item_id }, key_id);
  if (!text.ok) return text;
  const answer = await Item.get(text.value, means.plaid);
  if (!answer.ok || answer.value.item.item_id !== item_id) return ok(false);
  return makeWhole(means, item, answer.value.request_id);
}

const claimQuestion = (means: Means, itemId: string): Promise<Result<boolean, KeeperFailure>> =>
  read(means, async (sql) => {
    const lease = await probeLater(means, sql, itemId);
    // The fence counts how often it was asked.
    const pauseMs = Math.min(HOUR * 2 ** ((lease?.fence ?? 1) - 1), longestPauseMs);
    if (lease) await renewLease(sql, lease, means.now(), pauseMs);
    return lease !== undefined;
  });

/**
 * The token works: whatever had been thought lost did not happen. What was asked for then is still to be done if it was the
 * Item's removal: it is open again, and whoever looks for open intents does it. False where the Item has changed since.
 */
const makeWhole = (means: Means, { item_id, revision }: ItemRow, request_id: string) =>
  transact<boolean>(means, async (sql) => {
    const row = await lockItem(means, sql, item_id);
    if (row?.state !== "stranded" || row.revision !== revision) return ok(false);
    const last = await sql
      .selectFrom("intents")
      .select(["intent_id", "kind"])
      .where("item_id", "=", item_id)
      .where(...notExchange)
      .where("outcome", "=", "stranded")
      .orderBy("opened_at", "desc")
      .orderBy("settled_at", "desc")
      .limit(1)
      .executeTakeFirst();
    const to = last?.kind === "remove" ? "removing" : "healthy";
    await changeItem(sql, item_id, { state: to });
    if (last && to === "removing")
      await sql
        .updateTable("intents")
        .set({ settled_at: null, outcome: null, request_id: null, note: null })
        .where("intent_id", "=", last.intent_id)
        .execute();
    await endStranded(sql, item_id).execute();
    const detail = { from: "stranded", to, why: "its token works after all" } as const;
    await addEvent(means, sql, { kind: "item.restored", item_id, detail, request_id });
    return ok(true);
  });

/** Gives up: see `Keeper.abandon`. */
export async function abandon(
  means: Means,
  salvage: Salvage,
  flights: Flights,
  itemId: string,
  note: string,
): Promise<Result<ItemView, KeeperFailure>> {
  // The new token may be in the escrow of a process that is gone.
  const looked = await salvage.look();
  if (!looked.ok) return looked;
  const landed = await flights.land(itemId);
  if (!landed.ok && landed.error.kind !== "stranded") return landed;
  return transact(means, async (sql) => {
    const { now, environment, holder } = means;
    const row = await lockItem(means, sql, itemId);
    if (!row) return err({ kind: "unknown-item", item_id: itemId });
    if (row.state === "removed") return ok(viewOf(row));
    if (row.state !== "stranded") return err({ kind: "not-stranded", item_id: itemId });
    await endStranded(sql, itemId).where("kind", "=", "remove").execute();
    await sql
      .insertInto("intents")
      .values({
        intent_id: means.mint(),
        environment,
        kind: "remove",
        item_id: itemId,
        holder,
        opened_at: now(),
        settled_at: now(),
        outcome: "not-done",
        note: JSON.stringify({ abandoned: note }),
      })
      .execute();
    const gone = await bury(means, sql, itemId);
    const detail = { from: "stranded", to: "removed", confirmed: false, note } as const;
    await addEvent(means, sql, { kind: "item.abandoned", item_id: itemId, detail });
    return ok(viewOf(gone));
  });
}
