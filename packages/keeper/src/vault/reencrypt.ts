// Moves every secret of the database to the data key that is in use now, while the keeper works on. It goes through
// the tables in the order of their keys and holds one batch; what it has done it need not remember, for a row says
// itself which key it has: after a crash it is simply begun again.

import { ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import type { VaultFailure } from "./failure.ts";
import type { Place, Sealed, Vault } from "./vault.ts";

export interface ReencryptOptions {
  /** Rows at a time; 250 unless told: more are not faster, and make Node's heap grow. */
  readonly batch?: number | undefined;
  /** Begin after this `item_id`: where the last report ended, to save looking at what is done. */
  readonly after?: string | undefined;
  /** All of them unless told. */
  readonly tables?: readonly Table["name"][] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onBatch?: ((report: ReencryptReport) => void) | undefined;
}

export interface ReencryptReport {
  /** Sealed anew. */
  readonly moved: number;
  /** Looked at: moved, already there, or changed by somebody else meanwhile. */
  readonly seen: number;
  /** Rows that could not be opened, and stay as they are. The first hundred with their reason. */
  readonly failed: number;
  readonly failures: readonly {
    readonly table: string;
    readonly id: string;
    readonly failure: VaultFailure;
  }[];
  /** The last `item_id` looked at. */
  readonly at: string;
  /** Whether everything was looked at, or the signal came first. */
  readonly complete: boolean;
}

interface Row {
  readonly id: string;
  readonly place: Place;
  readonly bytes: Buffer | null;
  readonly key_id: string | null;
  readonly version: number;
}

interface Again {
  readonly row: Row & { readonly bytes: Buffer };
  readonly sealed: Sealed;
}

const maxFailures = 100;

/** Seals anew whatever is not sealed with the key in use. Damaged rows are told of and left; they keep their key from being retired. */
export async function reencrypt(
  vault: Vault,
  database: Database,
  { batch = 250, after = "", tables: wanted, signal, onBatch }: ReencryptOptions = {},
): Promise<Result<ReencryptReport, VaultFailure | DatabaseFailure>> {
  let moved = 0;
  let seen = 0;
  let failed = 0;
  let at = after;
  const failures: ReencryptReport["failures"][number][] = [];
  const report = (complete: boolean): ReencryptReport => ({ moved, seen, failed, failures, at, complete });
  vault.lookAgain(); // a new key may have been begun with elsewhere a moment ago

  for (const table of tables) {
    if (wanted && !wanted.includes(table.name)) continue;
    for (let last = table.name === "items" ? after : ""; ;) {
      if (signal?.aborted) return ok(report(false));
      const page = await database.read((sql) => table.page(sql, vault.environment, last, batch));
      if (!page.ok) return page;
      const done = await move(vault, database, table, page.value);
      if (!done.ok) return done;
      moved += done.value.moved;
      failed += done.value.failures.length;
      for (const { id, failure } of done.value.failures)
        if (failures.length < maxFailures) failures.push({ table: table.name, id, failure });
      seen += page.value.length;
      last = page.value.at(-1)?.id ?? last;
      if (table.name === "items") at = last;
      onBatch?.(report(false));
      if (page.value.length < batch) break;
    }
  }
  return ok(report(true));
}

/** What became of some rows. */
export interface Moved {
  readonly moved: number;
  /** Those that could not be opened. */
  readonly failures: readonly { readonly id: string; readonly failure: VaultFailure }[];
}

/**
 * The same for the tokens of these Items alone, some hundred at a time; whoever begins to go through many tells the vault
 * to look again first.
 */
export async function reencryptItems(
  vault: Vault,
  database: Database,
  itemIds: readonly string[],
): Promise<Result<Moved, VaultFailure | DatabaseFailure>> {
  const found = await database.read(async (sql) =>
    (await tokens(sql).where("item_id", "in", itemIds).execute()).map((row) =>
      rowOfItem(row, vault.environment),
    ),
  );
  return found.ok ? move(vault, database, items, found.value) : found;
}

async function move(
  vault: Vault,
  database: Database,
  table: Table,
  rows: readonly Row[],
): Promise<Result<Moved, VaultFailure | DatabaseFailure>> {
  const target = await vault.writeKeyId();
  if (!target.ok) return target;
  const anew: Again[] = [];
  const failures: { id: string; failure: VaultFailure }[] = [];
  for (const row of rows) {
    if (!hasBytes(row) || row.key_id === target.value) continue;
    const sealed = await again(vault, row);
    if (sealed.ok) anew.push({ row, sealed: sealed.value });
    // Without its keys it would only go on to tell the same of every row.
    else if (sealed.error.kind === "keys-unavailable") return sealed;
    else failures.push({ id: row.id, failure: sealed.error });
  }
  if (anew.length === 0) return ok({ moved: 0, failures });
  const stored = await database.transaction<number, never>(async (sql) =>
    ok(await table.store(sql, database.differences.rows, anew)),
  );
  return stored.ok ? ok({ moved: stored.value, failures }) : stored;
}

const hasBytes = (row: Row): row is Again["row"] => row.bytes !== null;

async function again(vault: Vault, row: Again["row"]): Promise<Result<Sealed, VaultFailure>> {
  const plain = await vault.open(row.bytes, row.place, row.key_id);
  if (!plain.ok) return plain;
  const sealed = await vault.seal(plain.value, row.place);
  plain.value.fill(0);
  return sealed;
}

interface Table {
  readonly name: "items" | "intents" | "deliveries" | "sweeps";
  page(sql: Sql, environment: Environment, after: string, limit: number): Promise<Row[]>;
  /** Stores those that nobody has changed since they were read. */
  store(sql: Sql, rows: Database["differences"]["rows"], anew: readonly Again[]): Promise<number>;
}

const tokens = (sql: Sql) =>
  sql.selectFrom("items").select(["item_id", "environment", "token", "key_id", "token_version"]);

const rowOfItem = (
  row: Awaited<ReturnType<ReturnType<typeof tokens>["executeTakeFirstOrThrow"]>>,
  environment: Environment,
): Row => ({
  id: row.item_id,
  place: { purpose: "token", subject: row.item_id },
  bytes: row.environment === environment ? row.token : null,
  key_id: row.key_id,
  version: row.token_version,
});

const items: Table = {
  name: "items",
  page: async (sql, environment, after, limit) => {
    const page = await tokens(sql).where("item_id", ">", after).orderBy("item_id").limit(limit).execute();
    return page.map((row) => rowOfItem(row, environment));
  },
  // A rotation makes a new version. Who else seals the same version anew seals the same token.
  store: async (sql, rows, anew) => {
    let stored = 0;
    for (const [key_id, some] of Map.groupBy(anew, ({ sealed }) => sealed.key_id)) {
      const { numUpdatedRows } = await sql
        .updateTable("items")
        .from(
          rows("anew", {
            id: { kind: "text", values: some.map(({ row }) => row.id) },
            version: { kind: "integer", values: some.map(({ row }) => row.version) },
            bytes: { kind: "bytes", values: some.map(({ sealed }) => sealed.bytes) },
          }),
        )
        .set((row) => ({ token: row.ref("anew.bytes"), key_id }))
        .whereRef("items.item_id", "=", "anew.id")
        .whereRef("items.token_version", "=", "anew.version")
        .where("items.token", "is not", null)
        .executeTakeFirst();
      stored += Number(numUpdatedRows);
    }
    return stored;
  },
};

// Those below hold few rows with something in them: what is settled or applied keeps no secret, but the reason of a stranded removal.

const intents: Table = {
  name: "intents",
  page: async (sql, environment, after, limit) => {
    const page = await sql
      .selectFrom("intents")
      .select(["intent_id", "environment", "detail", "key_id"])
      .where("detail", "is not", null)
      .where("intent_id", ">", after)
      .orderBy("intent_id")
      .limit(limit)
      .execute();
    return page.map((row) => ({
      id: row.intent_id,
      place: { purpose: "intent", subject: row.intent_id },
      bytes: row.environment === environment ? row.detail : null,
      key_id: row.key_id,
      version: 0,
    }));
  },
  store: (sql, _, anew) =>
    oneByOne(anew, ({ row, sealed }) =>
      sql
        .updateTable("intents")
        .set({ detail: sealed.bytes, key_id: sealed.key_id })
        .where("intent_id", "=", row.id)
        .where("detail", "=", row.bytes)
        .executeTakeFirst(),
    ),
};

const deliveries: Table = {
  name: "deliveries",
  page: async (sql, environment, after, limit) => {
    const [hash = "", iat = "0"] = after.split(".");
    const page = await sql
      .selectFrom("deliveries")
      .select(["body_sha256", "iat", "environment", "body", "key_id"])
      .where("applied_at", "is", null)
      .where((row) =>
        row.or([
          row("body_sha256", ">", hash),
          row.and([row("body_sha256", "=", hash), row("iat", ">", Number(iat))]),
        ]),
      )
      .orderBy("body_sha256")
      .orderBy("iat")
      .limit(limit)
      .execute();
    return page.map((row) => ({
      id: deliveryId(row),
      place: { purpose: "webhook", subject: deliveryId(row) },
      bytes: row.environment === environment ? row.body : null,
      key_id: row.key_id,
      version: row.iat,
    }));
  },
  store: (sql, _, anew) =>
    oneByOne(anew, ({ row, sealed }) =>
      sql
        .updateTable("deliveries")
        .set({ body: sealed.bytes, key_id: sealed.key_id })
        .where("body_sha256", "=", row.id.split(".")[0]!)
        .where("iat", "=", row.version)
        .where("body", "=", row.bytes)
        .executeTakeFirst(),
    ),
};

const sweeps: Table = {
  name: "sweeps",
  page: async (sql, environment, after, limit) => {
    const page = await sql
      .selectFrom("sweeps")
      .select(["sweep_id", "environment", "detail", "key_id"])
      .where("sweep_id", ">", Number(after))
      .orderBy("sweep_id")
      .limit(limit)
      .execute();
    return page.map((row) => ({
      id: `${row.sweep_id}`,
      place: { purpose: "sweep", subject: `${row.sweep_id}` },
      bytes: row.environment === environment ? row.detail : null,
      key_id: row.key_id,
      version: row.sweep_id,
    }));
  },
  store: (sql, _, anew) =>
    oneByOne(anew, ({ row, sealed }) =>
      sql
        .updateTable("sweeps")
        .set({ detail: sealed.bytes, key_id: sealed.key_id })
        .where("sweep_id", "=", row.version)
        .where("detail", "=", row.bytes)
        .executeTakeFirst(),
    ),
};

const tables = [items, intents, deliveries, sweeps];

/** The subject under which the body of a delivery is sealed. */
export const deliveryId = ({ body_sha256, iat }: { body_sha256: string; iat: number }): string =>
  `${body_sha256}.${iat}`;

async function oneByOne(
  anew: readonly Again[],
  store: (one: Again) => Promise<{ numUpdatedRows: bigint }>,
): Promise<number> {
  let stored = 0;
  for (const one of anew) stored += Number((await store(one)).numUpdatedRows);
  return stored;
}
