// Where an Item stands, in the database: its row, and the facts behind it in the newest of its events. Rows and events
// are changed together, under the row's lock and against its revision.

import type { Insertable, SelectQueryBuilder } from "kysely";
import type { Sql } from "../database/connection.ts";
import { leaseOfItem } from "../database/leases.ts";
import type { Database } from "../database/database.ts";
import type { Environment, EventsTable } from "../database/schema.ts";
import type { WebhookTaken } from "./events.ts";
import { skewMs } from "./moment.ts";
import {
  nothingKnown,
  ours,
  particulars,
  seen,
  type Facts,
  type Observation,
  type Standing,
} from "./state.ts";

/** Which Item. */
export interface Whose {
  readonly environment: Environment;
  readonly itemId: string;
}

/** Where the Item stands; undefined where there is none of this id. */
export async function standingOf(sql: Sql, whose: Whose): Promise<Standing | undefined> {
  return (await read(sql, whose, (query) => query))?.standing;
}

/** How old the row's `checked_at` may grow before an answer that changes nothing is written down: far less than the day for which a webhook may be under way. */
const checkedForMs = 3_600_000;

/** Whether anything would come of taking it: a change, or a check that is worth writing down. Writes and locks nothing. */
export async function isNews(
  sql: Sql,
  whose: Whose,
  observation: Observation,
  now: number,
): Promise<boolean> {
  const found = await read(sql, whose, (query) => query);
  if (!found || ours(found.standing.state)) return false;
  if (seen(found.standing, observation).events.length > 0) return true;
  if (observation.kind !== "answer") return false;
  return now - (found.checked_at ?? 0) > checkedForMs || webhookOf(observation) !== found.webhook;
}

/**
 * Takes what was seen, in turn, and writes what comes of it: the row, and one event for each change. Runs within the
 * caller's transaction. `keep` is written with the facts, whether or not anything changed. False where there is no
 * such Item.
 */
export async function observe(
  { differences }: Pick<Database, "differences">,
  sql: Sql,
  whose: Whose,
  observations: readonly Observation[],
  now: number,
  keep?: WebhookTaken,
): Promise<boolean> {
  const found = await read(sql, whose, differences.lockRows);
  if (!found) return false;
  const { environment, itemId: item_id } = whose;
  const entry = { environment, item_id, at: now };
  let { standing, checked_at, last_webhook_at } = found;
  const changes: Insertable<EventsTable>[] = [];
  for (const observation of observations) {
    const next = seen(standing, observation);
    const request_id = observation.kind === "answer" ? observation.answer.request_id : null;
    for (const { kind, ...change } of next.events) {
      const detail = JSON.stringify({ ...change, why: why(observation), facts: next.facts });
      changes.push({ ...entry, kind, actor: observation.kind, request_id, detail });
    }
    if (observation.kind === "answer") checked_at = Math.max(checked_at ?? 0, observation.at);
    if (observation.kind === "webhook") {
      last_webhook_at = Math.max(last_webhook_at ?? 0, observation.iatSeconds * 1_000);
    }
    standing = next;
  }
  if (keep) {
    const detail = JSON.stringify({ ...keep.detail, facts: standing.facts });
    changes.unshift({ ...entry, kind: keep.kind, actor: "webhook", request_id: null, detail });
  }
  const webhook = await drifted(sql, whose, found, observations, now);
  const isDrift = webhook !== found.webhook && found.checked_at !== null;
  if (isDrift) {
    const detail = JSON.stringify({ why: "/item/get" });
    changes.push({ ...entry, kind: "item.webhook_drifted", actor: "answer", request_id: null, detail });
  }
  if (changes.length > 0) await sql.insertInto("events").values(changes).execute();

  const isChange = isDrift || changes.some(({ kind }) => kind === "item.state");
  if (
    !isChange &&
    webhook === found.webhook &&
    checked_at === found.checked_at &&
    last_webhook_at === found.last_webhook_at
  )
    return true;
  const { error_code, consent_expires_at, disconnect_at } = particulars(standing.facts);
  // What our own doing began is written by those who do it.
  const columns = ours(standing.state)
    ? {}
    : { state: standing.state, error_code, consent_expires_at, disconnect_at, checked_at, webhook };
  const { numUpdatedRows } = await sql
    .updateTable("items")
    .set({ ...columns, last_webhook_at, revision: found.revision + (isChange ? 1 : 0) })
    .where("item_id", "=", item_id)
    .where("revision", "=", found.revision)
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) throw new Error("the row was changed under its lock");
  return true;
}

const webhookOf = ({ answer }: Observation & { kind: "answer" }): string | null =>
  answer.item.webhook ?? null;

/**
 * The webhook that Plaid has for the Item, where that is not what the row says: somebody else has moved it. While one of
 * ours moves it, or has since Plaid was asked, the row knows better.
 */
async function drifted(
  sql: Sql,
  { itemId }: Whose,
  { webhook, standing }: { readonly webhook: string | null; readonly standing: Standing },
  observations: readonly Observation[],
  now: number,
): Promise<string | null> {
  const answer = observations.findLast((observation) => observation.kind === "answer");
  if (!answer || ours(standing.state) || webhookOf(answer) === webhook) return webhook;
  // A sweep moves many at once, without an intent for each: while it has the Item, and before the event that it leaves. In
  // this order, as both change at once.
  const held = await sql
    .selectFrom("leases")
    .select("fence")
    .where("name", "=", leaseOfItem(itemId))
    .where("until_ms", ">", now)
    .executeTakeFirst();
  const moving = await sql
    .selectFrom("intents")
    .select("intent_id")
    .where("item_id", "=", itemId)
    .where("kind", "<>", "exchange") // as its index says
    .where("kind", "=", "webhook")
    .where((is) => is.or([is("settled_at", "is", null), is("settled_at", ">", answer.at - skewMs)]))
    .limit(1)
    .executeTakeFirst();
  const moved = await sql
    .selectFrom("events")
    .select("seq")
    .where("item_id", "=", itemId)
    .where("kind", "=", "item.webhook_moved")
    .where("at", ">", answer.at - skewMs)
    .limit(1)
    .executeTakeFirst();
  return held || moving || moved ? webhook : webhookOf(answer);
}

function why(observation: Observation): string {
  switch (observation.kind) {
    case "webhook":
      return `${observation.webhook.webhook_type}: ${observation.webhook.webhook_code}`;
    case "answer":
      return "/item/get";
    case "refused":
      return observation.error_code;
    case "updated":
      return "update mode";
  }
}

async function read(sql: Sql, { environment, itemId }: Whose, held: Hold) {
  const row = await held(
    sql
      .selectFrom("items")
      .select(["state", "error_code", "revision", "checked_at", "last_webhook_at", "webhook"])
      .select(["consent_expires_at", "disconnect_at"])
      .where("item_id", "=", itemId)
      .where("environment", "=", environment),
  ).executeTakeFirst();
  if (!row) return undefined;
  const last = await sql
    .selectFrom("events")
    .select("detail")
    .where("item_id", "=", itemId)
    .where("kind", "in", ["webhook", "item.state"])
    .orderBy("seq", "desc")
    .limit(1)
    .executeTakeFirst();
  const kept = last && (JSON.parse(last.detail) as { facts?: Facts }).facts;
  return { ...row, standing: { state: row.state, facts: kept ? confirmed(kept, row) : fromRow(row) } };
}

type Hold = <DB, TB extends keyof DB, O>(
  query: SelectQueryBuilder<DB, TB, O>,
) => SelectQueryBuilder<DB, TB, O>;

interface Row {
  readonly state: Standing["state"];
  readonly error_code: string | null;
  readonly checked_at: number | null;
  readonly consent_expires_at: number | null;
  readonly disconnect_at: number | null;
}

/** A check that changed nothing is in the row alone, and so is one that another room made. */
function confirmed(facts: Facts, { state, error_code, checked_at, consent_expires_at }: Row): Facts {
  if (checked_at === null || ours(state)) return facts;
  const { error, consent } = facts;
  const moment = { at: checked_at, iat: null };
  return {
    ...facts,
    ...(checked_at > error.at && { error: { ...moment, code: error_code } }),
    ...(checked_at > consent.at && { consent: { ...consent, ...moment, endsAt: consent_expires_at } }),
  };
}

/** Of an Item that the inbox has not seen anything of. */
function fromRow(row: Row): Facts {
  const at = row.checked_at ?? 0;
  return confirmed(
    {
      ...nothingKnown,
      error: { at, iat: null, code: row.error_code },
      consent: {
        at,
        iat: null,
        endsAt: row.consent_expires_at,
        announced: row.state === "pending_expiration",
      },
      disconnect: { at, iat: null, date: row.disconnect_at, reason: null, over: false },
      accounts: { at, iat: null, waiting: row.state === "new_accounts" },
    },
    row,
  );
}
