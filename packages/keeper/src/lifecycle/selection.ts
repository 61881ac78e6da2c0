// Which Items are meant: one set of filters for lists, for the command line and for sweeps, so that what is seen is what
// is worked on. Pages follow one another by key, each found by an index, however many Items there are.

import { sql as raw } from "kysely";
import { err, ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { ItemState } from "../database/schema.ts";
import type { KeeperFailure } from "./failure.ts";
import { viewOf, type ItemRow, type ItemView } from "./ledger.ts";
import { databaseFailed, type Means } from "./means.ts";

/** Filters that must all hold. Without `states` it is every Item that is not removed. */
export interface Selection {
  /** Any of these; of none of them there is nothing. */
  readonly states?: readonly ItemState[] | undefined;
  readonly institutionId?: string | undefined;
  readonly userId?: string | undefined;
  /** Items whose token has been the same since before then, in milliseconds since 1970: oldest first. */
  readonly tokenBefore?: number | undefined;
}

/** A page of Items, and with which `after` the next one is asked for; null when there is none. */
export interface ItemPage {
  readonly items: readonly ItemView[];
  readonly next: string | null;
}

/** All that is selected, in no order. */
export function selected(
  { environment }: Pick<Means, "environment">,
  sql: Sql,
  { states, institutionId, userId, tokenBefore }: Selection,
) {
  let query = sql.selectFrom("items").where("items.environment", "=", environment);
  if (states === undefined) query = query.where("items.removed_at", "is", null);
  else query = states.length > 0 ? query.where("items.state", "in", states) : query.where(raw.lit(false));
  if (institutionId !== undefined) query = query.where("items.institution_id", "=", institutionId);
  if (userId !== undefined) query = query.where("items.user_id", "=", userId);
  if (tokenBefore !== undefined)
    query = query.where("items.removed_at", "is", null).where("items.token_at", "<", tokenBefore);
  return query;
}

/** One page of them: by age where `tokenBefore` is given, else by `item_id`. */
export async function listItems(
  means: Means,
  selection: Selection,
  { after, limit = 100 }: { readonly after?: string | undefined; readonly limit?: number | undefined },
): Promise<Result<ItemPage, KeeperFailure>> {
  if (!(Number.isInteger(limit) && limit > 0 && limit <= 10_000))
    throw new TypeError("the limit must be a whole number from 1 to 10 000");
  const found = await means.database.read((sql) => pageOf(means, sql, selection, after, limit).execute());
  if (!found.ok) return err(databaseFailed(found.error));
  const page = found.value.slice(0, limit);
  const last = page.at(-1);
  return ok({ items: page.map(viewOf), next: last && found.value.length > limit ? afterOf(last) : null });
}

/** A page's rows, and one more if there is one. */
export function pageOf(
  means: Pick<Means, "environment">,
  sql: Sql,
  selection: Selection,
  after: string | undefined,
  limit: number,
) {
  const key = after === undefined ? undefined : keyOf(after);
  const byAge = selection.tokenBefore !== undefined;
  // An index gives the Items of one state in order, not those of two: so each state has its own page, and the database,
  // which alone knows its order of texts, merges them.
  const { states } = selection;
  const each = states && states.length > 1 ? [...new Set(states)].map((state) => [state]) : [states];
  const pages = each.map((states) => {
    let query = selected(means, sql, { ...selection, states }).selectAll("items");
    if (key && byAge)
      query = query
        .where("token_at", ">=", key.token_at)
        .where((is) => is.or([is("token_at", ">", key.token_at), is("item_id", ">", key.item_id)]));
    else if (key) query = query.where("item_id", ">", key.item_id);
    if (byAge) query = query.orderBy("token_at");
    return sql
      .selectFrom(
        query
          .orderBy("item_id")
          .limit(limit + 1)
          .as("page"),
      )
      .selectAll();
  });
  const all = sql.selectFrom(pages.reduce((some, page) => some.unionAll(page)).as("pages")).selectAll();
  return (byAge ? all.orderBy("token_at") : all).orderBy("item_id").limit(limit + 1);
}

const afterOf = ({ token_at, item_id }: ItemRow) => `${token_at}.${item_id}`;

function keyOf(after: string): { token_at: number; item_id: string } {
  const [, token_at, item_id] = /^(\d{1,15})\.(.+)$/s.exec(after) ?? [];
  if (item_id === undefined) throw new TypeError("`after` must be the `next` of the page before");
  return { token_at: Number(token_at), item_id };
}
