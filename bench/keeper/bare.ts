// The bare peers of the keeper's bench: a database's own driver and node:crypto, one row an Item, as one would write it
// in an afternoon; with an intent, if asked. No escrow, no lease, no history.

import BetterSqlite from "better-sqlite3";
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from "node:crypto";
import pg from "pg";

/** A key that is at hand, as the keeper's is. */
export const makeKey = (bytes = randomBytes(32)): KeyObject => createSecretKey(bytes);

/** Nonce, ciphertext, tag; the id of the Item is bound in. */
export function seal(text: string, itemId: string, key: KeyObject): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.from(itemId));
  const sealed = cipher.update(text, "utf8");
  cipher.final();
  return Buffer.concat([nonce, sealed, cipher.getAuthTag()]);
}

export function open(bytes: Buffer, itemId: string, key: KeyObject): string {
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12));
  decipher.setAAD(Buffer.from(itemId));
  decipher.setAuthTag(bytes.subarray(-16));
  const text = decipher.update(bytes.subarray(12, -16), undefined, "utf8");
  return text + decipher.final("utf8");
}

/** As a row of it is read for re-encryption. */
export interface BareRow {
  readonly item_id: string;
  readonly token: Buffer;
}

/** A table of Items, each of its changes on disk when it resolves. */
export interface BareStore {
  insert(itemId: string, userId: string, token: Buffer): Promise<unknown>;
  /** What is about to be asked for. */
  intend(intentId: string, detail: Buffer): Promise<unknown>;
  /** `insert`, and the end of the intent, in one transaction. */
  arrive(intentId: string, itemId: string, userId: string, token: Buffer): Promise<unknown>;
  find(itemId: string): Promise<Buffer>;
  page(after: string, limit: number): Promise<readonly BareRow[]>;
  /** One transaction. */
  update(rows: readonly BareRow[]): Promise<unknown>;
  insertMany(rows: readonly BareRow[]): Promise<unknown>;
  close(): Promise<unknown>;
}

export const openBare = (url: string): Promise<BareStore> =>
  url.startsWith("postgres") ? openPostgres(url) : openSqlite(url);

async function openSqlite(file: string): Promise<BareStore> {
  const database = new BetterSqlite(file);
  database.pragma("journal_mode = wal");
  database.pragma("synchronous = full");
  database.exec(
    "create table if not exists items (item_id text not null primary key, user_id text, token blob not null) strict;" +
      "create table if not exists intents (intent_id text not null primary key, detail blob) strict",
  );
  const intend = database.prepare("insert into intents (intent_id, detail) values (?, ?)");
  const close = database.prepare("update intents set detail = null where intent_id = ?");
  const insert = database.prepare("insert into items (item_id, user_id, token) values (?, ?, ?)");
  const arrive = database.transaction((intentId: string, ...item: [string, string, Buffer]) => {
    insert.run(...item);
    close.run(intentId);
  });
  const find = database.prepare("select token from items where item_id = ?").pluck();
  const page = database.prepare(
    "select item_id, token from items where item_id > ? order by item_id limit ?",
  );
  const update = database.prepare("update items set token = ? where item_id = ?");
  const updateAll = database.transaction((rows: readonly BareRow[]) => {
    for (const { item_id, token } of rows) update.run(token, item_id);
  });
  const insertAll = database.transaction((rows: readonly BareRow[]) => {
    for (const { item_id, token } of rows) insert.run(item_id, null, token);
  });
  return {
    insert: async (itemId, userId, token) => insert.run(itemId, userId, token),
    intend: async (intentId, detail) => intend.run(intentId, detail),
    arrive: async (...all) => arrive.immediate(...all),
    find: async (itemId) => find.get(itemId) as Buffer,
    page: async (after, limit) => page.all(after, limit) as BareRow[],
    update: async (rows) => updateAll.immediate(rows),
    insertMany: async (rows) => insertAll.immediate(rows),
    close: async () => database.close(),
  };
}

async function openPostgres(url: string): Promise<BareStore> {
  // As many connections as the keeper has.
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  await pool.query(
    "create table if not exists items (item_id text not null primary key, user_id text, token bytea not null);" +
      "create table if not exists intents (intent_id text not null primary key, detail bytea)",
  );
  const intend = "insert into intents (intent_id, detail) values ($1, $2)";
  const arrive =
    "with item as (insert into items (item_id, user_id, token) values ($2, $3, $4)) update intents set detail = null where intent_id = $1";
  const insert = "insert into items (item_id, user_id, token) values ($1, $2, $3)";
  const find = "select token from items where item_id = $1";
  const page = "select item_id, token from items where item_id > $1 order by item_id limit $2";
  const update =
    "update items set token = anew.token from unnest($1::text[], $2::bytea[]) anew (id, token) where item_id = anew.id";
  const insertMany = "insert into items (item_id, token) select * from unnest($1::text[], $2::bytea[])";
  return {
    insert: (itemId, userId, token) =>
      pool.query({ name: "insert", text: insert, values: [itemId, userId, token] }),
    intend: (intentId, detail) => pool.query({ name: "intend", text: intend, values: [intentId, detail] }),
    arrive: (...values) => pool.query({ name: "arrive", text: arrive, values }),
    find: async (itemId) =>
      (await pool.query<BareRow>({ name: "find", text: find, values: [itemId] })).rows[0]!.token,
    page: async (after, limit) =>
      (await pool.query<BareRow>({ name: "page", text: page, values: [after, limit] })).rows,
    update: (rows) => pool.query({ name: "update", text: update, values: columns(rows) }),
    insertMany: (rows) => pool.query({ name: "many", text: insertMany, values: columns(rows) }),
    close: () => pool.end(),
  };
}

const columns = (rows: readonly BareRow[]) => [
  rows.map(({ item_id }) => item_id),
  rows.map(({ token }) => token),
];
