// An audit asks Plaid about each Item, takes the answer as the inbox takes one, and says what it found. What is done with a
// token that is lent the keeper does not know; that nobody has borrowed one it does.

import { Item, ok, type ItemGetResponse, type Result } from "sett";
import { sql as raw } from "kysely";
import type { Sql } from "../database/connection.ts";
import { observe } from "../inbox/standing.ts";
import type { Observation } from "../inbox/state.ts";
import { saysDeadToken, type ForSupport, type KeeperFailure } from "../lifecycle/failure.ts";
import { intentIsOpen, type ItemRow } from "../lifecycle/ledger.ts";
import { openText, read, type Means } from "../lifecycle/means.ts";
import { strandingsOf } from "../lifecycle/stranded.ts";
import { countedSince } from "../lifecycle/usage.ts";
import { asItWas, judge, mayCall, type One } from "./one-by-one.ts";
import type { Ground, Operation } from "./pool.ts";
import { done, failed, findingPrefix, type Ended, type Entry, type Held } from "./settle.ts";
import type { Finding } from "./sweep.ts";

interface Sight extends One {
  readonly row: Row;
}

interface Row extends ItemRow {
  /** Since when uses are written down in this database. */
  readonly counted_since: number;
  readonly duplicates: readonly string[];
  /** Why it is stranded, where it is. */
  readonly stranding: ForSupport | undefined;
}

const DAY = 24 * 3_600_000;

export function audit(ground: Ground): Operation<Sight> {
  const { means } = ground;
  /** What was seen, until it is written. */
  const seen = new Map<number, Observation>();
  /** Of those, Items that are as they were: only the time of the look is to be written. */
  const same = new Map<number, { readonly revision: number; readonly at: number }>();

  return {
    async prepare(held, entries) {
      const { ended, rest } = judge(ground, held, entries);
      const rows = await look(means, rest);
      if (!rows.ok) return rows;
      const ready: Sight[] = [];
      for (const entry of rest) {
        const row = rows.value.get(entry.item_id);
        if (row?.stranding) {
          const { request_id, support } = row.stranding;
          ended.push(found(entry, request_id, [{ kind: "stranded", support }]));
        } else if (row?.token) ready.push({ entry, row });
      }
      return ok({ ended, ready });
    },

    async act(held, one) {
      const { entry, row } = one;
      const { item_id } = entry;
      if (!(await mayCall(ground, held, entry))) return asItWas(one);
      const token = await openText(means, row.token!, { purpose: "token", subject: item_id }, row.key_id);
      if (!token.ok) return failed(ground, entry, token.error);
      const at = means.now();
      const answer = await Item.get(token.value, means.plaid);
      if (answer.ok) {
        seen.set(entry.position, { kind: "answer", answer: answer.value, at });
        if (isAsItWas(row, answer.value)) same.set(entry.position, { revision: row.revision, at });
        return found(entry, answer.value.request_id, findings(held, row, answer.value, at));
      }
      const refused = answer.error.kind === "refused" ? answer.error.error.error_code : null;
      // The token may have been rotated since it was read: then it says nothing of the Item.
      const doubted = saysDeadToken(refused) && (entry.attempt === 0 || (await isPast(means, item_id, row)));
      if (refused !== null && !doubted)
        seen.set(entry.position, { kind: "refused", error_code: refused, at });
      if (doubted) return failed(ground, entry, { kind: "busy", item_id });
      return failed(ground, entry, { kind: "plaid", item_id, failure: answer.error });
    },

    undone: asItWas,

    async also(sql, _held, ended) {
      const sorted = ended
        .filter(({ entry }) => seen.has(entry.position))
        .toSorted((one, other) => (one.entry.item_id < other.entry.item_id ? -1 : 1));
      const { environment, now, database } = means;
      const looked = sorted.flatMap(({ entry }) => {
        const one = same.get(entry.position);
        return one ? [{ item_id: entry.item_id, ...one }] : [];
      });
      const written = await writeLooks(means, sql, looked);
      for (const { entry } of sorted) {
        if (written.has(entry.item_id)) continue;
        const whose = { environment, itemId: entry.item_id };
        await observe(database, sql, whose, [seen.get(entry.position)!], now());
      }
      return ended;
    },
  };
}

/** Whether the token is no longer the Item's, or may not be: something is open on it. */
async function isPast({ database }: Means, itemId: string, { token_version }: Row): Promise<boolean> {
  const read = await database.read((sql) =>
    sql
      .selectFrom("items")
      .select(["token", "token_version"])
      .select(intentIsOpen().as("open"))
      .where("item_id", "=", itemId)
      .executeTakeFirst(),
  );
  if (!read.ok || !read.value) return true;
  const { token, token_version: version, open } = read.value;
  return token === null || version !== token_version || Boolean(open);
}

const found = (entry: Entry, request_id: string | null, findings: readonly Finding[]): Ended => ({
  ...done(entry, request_id),
  ...(findings.length > 0 && { result: { findings } }),
  tally: findings.map(({ kind }) => findingPrefix + kind),
});

function findings({ parameters }: Held, row: Row, { item }: ItemGetResponse, now: number): Finding[] {
  const said: Finding[] = [];
  const code = item.error?.error_code ?? null;
  if (code === "USER_PERMISSION_REVOKED") said.push({ kind: "revoked", error_code: code });
  else if (code !== null) said.push({ kind: "update-mode", error_code: code });
  const consent = Date.parse(item.consent_expiration_time ?? "");
  const ends = [consent, row.disconnect_at ?? NaN].filter((at) => at > now);
  const at = Math.min(...ends);
  if (at - now <= 7 * DAY) said.push({ kind: "expires-in-7-days", at });
  else if (at - now <= 30 * DAY) said.push({ kind: "expires-in-30-days", at });
  const { last_webhook_at } = row;
  if (now - Math.max(last_webhook_at ?? 0, row.linked_at) > parameters.silentAfterMs)
    said.push({ kind: "silent", last_webhook_at });
  const { billed_products: billed } = item;
  const { used_at } = row;
  const idle = now - Math.max(used_at ?? 0, row.linked_at, row.counted_since);
  if (billed.length > 0 && idle > parameters.unusedAfterMs) said.push({ kind: "unused", billed, used_at });
  const webhook = item.webhook ?? null;
  if (parameters.webhook !== undefined && webhook !== parameters.webhook)
    said.push({ kind: "stale-webhook", webhook });
  if (row.duplicates.length > 0) said.push({ kind: "duplicate", of: row.duplicates });
  return said;
}

const tidings: readonly unknown[] = ["NEW_ACCOUNTS_AVAILABLE", "PENDING_DISCONNECT"];

/** Whether the answer of a healthy Item holds nothing that the inbox would have to think about. */
const isAsItWas = (row: Row, { item, status }: ItemGetResponse): boolean =>
  row.state === "healthy" &&
  row.error_code === null &&
  !item.error &&
  row.consent_expires_at === null &&
  !item.consent_expiration_time &&
  row.disconnect_at === null &&
  row.webhook === (item.webhook ?? null) &&
  !tidings.includes(status?.last_webhook?.code_sent);

/** Writes when these Items were looked at, where nothing has changed since; names those. */
async function writeLooks(
  { database }: Means,
  sql: Sql,
  looks: readonly { readonly item_id: string; readonly revision: number; readonly at: number }[],
): Promise<ReadonlySet<string>> {
  if (looks.length === 0) return new Set();
  const integer = (name: "revision" | "at") =>
    ({ kind: "integer", values: looks.map((one) => one[name]) }) as const;
  const written = await sql
    .updateTable("items")
    .from(
      database.differences.rows("looked", {
        item_id: { kind: "text", values: looks.map(({ item_id }) => item_id) },
        revision: integer("revision"),
        at: integer("at"),
      }),
    )
    .set({
      checked_at: raw<number>`case when items.checked_at > looked.at then items.checked_at else looked.at end`,
    })
    .whereRef("items.item_id", "=", "looked.item_id")
    .whereRef("items.revision", "=", "looked.revision")
    .returning("items.item_id")
    .execute();
  return new Set(written.map(({ item_id }) => item_id));
}

async function look(
  means: Means,
  entries: readonly Entry[],
): Promise<Result<ReadonlyMap<string, Row>, KeeperFailure>> {
  if (entries.length === 0) return ok(new Map());
  const { database } = means;
  const ids = { id: { kind: "text", values: entries.map(({ item_id }) => item_id) } } as const;
  const { rows } = database.differences;
  const found = await read(means, async (sql) => {
    const items = sql
      .selectFrom(rows("wanted", ids))
      .innerJoin("items", "items.item_id", "wanted.id")
      .selectAll("items")
      .execute();
    const twins = sql
      .selectFrom(rows("wanted", ids))
      .innerJoin("fingerprints as mine", "mine.item_id", "wanted.id")
      .innerJoin("fingerprints as same", "same.fingerprint", "mine.fingerprint")
      .innerJoin("items", "items.item_id", "same.item_id")
      .whereRef("same.item_id", "!=", "mine.item_id")
      .where("items.removed_at", "is", null)
      .select(["mine.item_id as item_id", "same.item_id as twin"])
      .distinct()
      .execute();
    const strandings = await strandingsOf(
      means,
      sql,
      (await items).flatMap(({ item_id, state }) => (state === "stranded" ? [item_id] : [])),
    );
    const { applied_at } = await sql
      .selectFrom("migrations")
      .select("applied_at")
      .where("number", "=", countedSince)
      .executeTakeFirstOrThrow();
    return {
      items: await items,
      applied_at,
      twins: Map.groupBy(await twins, ({ item_id }) => item_id),
      strandings,
    };
  });
  if (!found.ok) return found;
  const { items, twins, strandings, applied_at } = found.value;
  return ok(
    new Map(
      items.map((row) => [
        row.item_id,
        {
          ...row,
          counted_since: applied_at,
          stranding: strandings.get(row.item_id),
          duplicates: (twins.get(row.item_id) ?? []).map(({ twin }) => twin).sort(),
        },
      ]),
    ),
  );
}
