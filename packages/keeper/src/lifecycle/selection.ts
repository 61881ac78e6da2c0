// Which Items are meant: one set of filters for lists, for the command line and for sweeps, so that what is seen is what
// is worked on. Pages follow one another by key, each found by an index, however many Items there are.

import { sql as raw } from "kysely";
import { ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { ItemState } from "../database/schema.ts";
import type { KeeperFailure } from "./failure.ts";
import { refuseUnknown } from "./known.ts";
import { viewOf, type ItemRow, type ItemView } from "./ledger.ts";
import { read, type Means, type Reading } from "./means.ts";
import { isText, textOf } from "./texts.ts";

/**
 * Filters that must all hold. Without `states` it is every Item that is not removed. What is not to be a filter is left
 * out: one that is `undefined`, or that has another name, is a TypeError, for it would select everything.
 */
export interface Selection {
  /** Any of these; of none of them there is nothing. */
  readonly states?: readonly ItemState[];
  readonly institutionId?: string;
  readonly userId?: string;
  /** Items whose token has been the same since before then, in milliseconds since 1970: oldest first. */
  readonly tokenBefore?: number;
}

/** A page of Items, and with which `after` the next one is asked for; null when there is none. */
export interface ItemPage {
  readonly items: readonly ItemView[];
  readonly next: string | null;
}

const filters: { readonly [Name in keyof Selection]-?: (given: unknown) => NonNullable<Selection[Name]> } = {
  states: statesOf,
  institutionId: (given) => textOf("institutionId", given),
  userId: (given) => textOf("userId", given),
  tokenBefore(given) {
    if (Number.isSafeInteger(given) && (given as number) >= 0) return given as number;
    throw new TypeError("tokenBefore must be a whole number of milliseconds since 1970");
  },
};

const known: Readonly<Record<ItemState, true>> = {
  healthy: true,
  login_required: true,
  pending_expiration: true,
  pending_disconnect: true,
  new_accounts: true,
  revoked: true,
  error: true,
  stranded: true,
  removing: true,
  removed: true,
};

/** Each state once, in one order: the same states are the same selection. */
function statesOf(given: unknown): readonly ItemState[] {
  if (
    Array.isArray(given) &&
    given.every((state) => typeof state === "string" && Object.hasOwn(known, state))
  )
    return [...new Set(given as ItemState[])].sort();
  throw new TypeError(`states must be an array of states: ${Object.keys(known).join(", ")}`);
}

/** What a caller has selected, in the one form that it has. Throws a TypeError for what cannot be meant. */
export function selectionFrom(given: unknown): Selection {
  refuseUnknown("a selection", given, Object.keys(filters));
  const entries = Object.entries(given as object).map(([name, value]) => {
    if (value === undefined)
      throw new TypeError(`${name} must be left out or have a value: undefined would select everything`);
    return [name, filters[name as keyof Selection](value)];
  });
  return Object.fromEntries(entries) as Selection;
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
  means: Reading,
  selection: Selection,
  page: { readonly after?: string | undefined; readonly limit?: number | undefined },
): Promise<Result<ItemPage, KeeperFailure>> {
  const meant = selectionFrom(selection);
  refuseUnknown("a page", page, ["after", "limit"]);
  const { after, limit = 100 } = page;
  if (!(Number.isInteger(limit) && limit > 0 && limit <= 10_000))
    throw new TypeError("the limit must be a whole number from 1 to 10 000");
  const found = await read(means, (sql) => pageOf(means, sql, meant, after, limit).execute());
  if (!found.ok) return found;
  const rows = found.value.slice(0, limit);
  const last = rows.at(-1);
  return ok({ items: rows.map(viewOf), next: last && found.value.length > limit ? afterOf(last) : null });
}

/** A page's rows, and one more if there is one. The selection is one that `selectionFrom` gave. */
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
  const each =
    states && states.length > 1 ? states.map((state) => ({ ...selection, states: [state] })) : [selection];
  const pages = each.map((one) => {
    let query = selected(means, sql, one).selectAll("items");
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
  if (!isText(item_id)) throw new TypeError("`after` must be the `next` of the page before");
  return { token_at: Number(token_at), item_id };
}
