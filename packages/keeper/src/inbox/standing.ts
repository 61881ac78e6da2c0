// Where Items stand, in the database: their rows, and the facts behind each in the newest of its events. Rows and events
// are changed together, under the rows' locks and against their revisions, in as many statements for a hundred Items as
// for one.

import type { Sql } from "../database/connection.ts";
import { leaseOfItem } from "../database/leases.ts";
import { notExchange, type Environment } from "../database/schema.ts";
import type { WebhookTaken } from "./events.ts";
import { SECOND, skewMs } from "./moment.ts";
import { readRows, writeEvents, writeRows, type Different, type ItemRow, type NewEvent } from "./rows.ts";
import { ours, particulars, seen, type Facts, type Observation, type Standing } from "./state.ts";

/** What was seen of an Item, in turn. */
export interface Sight {
  readonly itemId: string;
  readonly observations: readonly Observation[];
  /** The webhook with which it came; written with the facts, whether or not anything changed. */
  readonly taken?: WebhookTaken["detail"] | undefined;
}

/** Where the Items stand, by their ids; those that are not here are left out. */
export async function standingsOf(
  database: Different,
  sql: Sql,
  environment: Environment,
  itemIds: readonly string[],
): Promise<ReadonlyMap<string, Standing>> {
  const items = await itemsOf(database, sql, environment, itemIds);
  return new Map(items.map(({ item_id, standing }) => [item_id, standing]));
}

/** How old the row's `checked_at` may grow before an answer that changes nothing is written down: far less than the day for which a webhook may be under way. */
const checkedForMs = 3_600_000;

/** Whether anything would come of taking it: a change, or a check that is worth writing down. Writes and locks nothing. */
export async function isNews(
  database: Different,
  sql: Sql,
  environment: Environment,
  itemId: string,
  observation: Observation,
  now: number,
): Promise<boolean> {
  const [item] = await itemsOf(database, sql, environment, [itemId]);
  if (!item || ours(item.state)) return false;
  if (seen(item.standing, observation).events.length > 0) return true;
  if (observation.kind !== "answer") return false;
  return now - (item.checked_at ?? 0) > checkedForMs || webhookOf(observation) !== item.webhook;
}

/** {@link observeAll} of one Item. */
export const observe = (
  database: Different,
  sql: Sql,
  { environment, itemId }: { readonly environment: Environment; readonly itemId: string },
  observations: readonly Observation[],
  now: number,
): Promise<boolean> => observeAll(database, sql, environment, [{ itemId, observations }], now);

/**
 * Takes what was seen, and writes what comes of it: the rows, and one event for each change. Runs within the caller's
 * transaction. False, and nothing is written, where one of the Items is not here.
 */
export async function observeAll(
  database: Different,
  sql: Sql,
  environment: Environment,
  sights: readonly Sight[],
  now: number,
): Promise<boolean> {
  const ofItems = Map.groupBy(sights, ({ itemId }) => itemId);
  const items = await itemsOf(database, sql, environment, [...ofItems.keys()], { lock: true });
  if (items.length < ofItems.size) return false;
  const news: News[] = [];
  for (const item of items) {
    const ofItem = ofItems.get(item.item_id)!;
    const observations = ofItem.flatMap((sight) => sight.observations);
    news.push(newsOf(item, ofItem, await drifted(sql, item, observations, now), now));
  }
  await writeEvents(
    database,
    sql,
    environment,
    news.flatMap(({ events }) => events),
  );
  await writeRows(
    database,
    sql,
    news.flatMap(({ row }) => row ?? []),
  );
  return true;
}

/** What is to be written of an Item; no row where that stays as it is. */
interface News {
  readonly events: readonly NewEvent[];
  readonly row: Parameters<typeof writeRows>[2][number] | undefined;
}

/** `webhook`: the one that Plaid has for it. */
function newsOf(item: Item, sights: readonly Sight[], webhook: string | null, at: number): News {
  const { item_id } = item;
  let { standing, checked_at, last_webhook_at } = item;
  const event = (kind: string, actor: string, detail: object, request_id: string | null = null) => ({
    ...{ item_id, at, kind, actor, request_id },
    detail: JSON.stringify(detail),
  });
  const events: NewEvent[] = [];
  for (const { observations, taken } of sights) {
    const changes: NewEvent[] = [];
    for (const observation of observations) {
      const next = seen(standing, observation);
      const request_id = observation.kind === "answer" ? observation.answer.request_id : null;
      for (const { kind, ...change } of next.events) {
        const detail = { ...change, why: why(observation), facts: next.facts };
        changes.push(event(kind, observation.kind, detail, request_id));
      }
      if (observation.kind === "answer") checked_at = Math.max(checked_at ?? 0, observation.at);
      if (observation.kind === "webhook") {
        last_webhook_at = Math.max(last_webhook_at ?? 0, observation.iatSeconds * SECOND);
      }
      standing = next;
    }
    if (taken) events.push(event("webhook", "webhook", { ...taken, facts: standing.facts }));
    events.push(...changes);
  }
  if (webhook !== item.webhook && item.checked_at !== null)
    events.push(event("item.webhook_drifted", "answer", { why: "/item/get" }));

  const changed = events.filter(({ kind }) => kind !== "webhook").length;
  const isSame =
    changed === 0 &&
    webhook === item.webhook &&
    checked_at === item.checked_at &&
    last_webhook_at === item.last_webhook_at;
  if (isSame) return { events, row: undefined };
  // What our own doing began is written by those who do it.
  const columns = ours(standing.state)
    ? item
    : { ...particulars(standing.facts), item_id, state: standing.state, checked_at, webhook };
  return { events, row: { ...columns, last_webhook_at, revision: item.revision, changed } };
}

const webhookOf = ({ answer }: Observation & { kind: "answer" }): string | null =>
  answer.item.webhook ?? null;

/**
 * The webhook that Plaid has for the Item, where that is not what the row says: somebody else has moved it. While one of
 * ours moves it, or has since Plaid was asked, the row knows better.
 */
async function drifted(
  sql: Sql,
  { item_id, webhook, standing }: Item,
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
    .where("name", "=", leaseOfItem(item_id))
    .where("until_ms", ">", now)
    .executeTakeFirst();
  const moving = await sql
    .selectFrom("intents")
    .select("intent_id")
    .where("item_id", "=", item_id)
    .where(...notExchange)
    .where("kind", "=", "webhook")
    .where((is) => is.or([is("settled_at", "is", null), is("settled_at", ">", answer.at - skewMs)]))
    .limit(1)
    .executeTakeFirst();
  const moved = await sql
    .selectFrom("events")
    .select("seq")
    .where("item_id", "=", item_id)
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

interface Item extends ItemRow {
  readonly standing: Standing;
}

async function itemsOf(...of: Parameters<typeof readRows>): Promise<readonly Item[]> {
  return (await readRows(...of)).map(({ facts, ...row }) => ({
    ...row,
    standing: { state: row.state, facts: facts ? confirmed(facts, row) : fromRow(row) },
  }));
}

/** A check that changed nothing is in the row alone, and so is one that another room made. */
function confirmed(facts: Facts, { state, error_code, checked_at, consent_expires_at }: ItemRow): Facts {
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
function fromRow({ state, error_code, checked_at, consent_expires_at, disconnect_at }: ItemRow): Facts {
  const moment = { at: checked_at ?? 0, iat: null };
  return {
    error: { ...moment, code: error_code },
    consent: { ...moment, endsAt: consent_expires_at, announced: state === "pending_expiration" },
    disconnect: { ...moment, date: disconnect_at, reason: null, over: false },
    accounts: { ...moment, waiting: state === "new_accounts" },
  };
}
