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
  /** What it was sealed for, too. */
  readonly id: string;
  readonly environment: Environment;
  readonly bytes: Buffer | null;
  readonly key_id: string | null;
  /** Of an Item's token. */
  readonly version?: number;
}

interface Again extends Row {
  readonly bytes: Buffer;
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
      const page = await database.read((sql) => table.page(sql, last, batch));
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
  const found = await database.read((sql) => tokens(sql).where("item_id", "in", itemIds).execute());
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
    const { id, environment, bytes, key_id } = row;
    if (bytes === null || environment !== vault.environment || key_id === target.value) continue;
    const sealed = await again(vault, bytes, key_id, { purpose: table.purpose, subject: id });
    if (sealed.ok) anew.push({ ...row, bytes, sealed: sealed.value });
    // Without its keys it would only go on to tell the same of every row.
    else if (sealed.error.kind === "keys-unavailable") return sealed;
    else failures.push({ id, failure: sealed.error });
  }
  if (anew.length === 0) return ok({ moved: 0, failures });
  const stored = await database.transaction<number, never>(async (sql) =>
    ok(await table.store(sql, anew, database.differences.rows)),
  );
  return stored.ok ? ok({ moved: stored.value, failures }) : stored;
}

async function again(
  vault: Vault,
  bytes: Buffer,
  keyId: string | null,
  place: Place,
): Promise<Result<Sealed, VaultFailure>> {
  const plain = await vault.open(bytes, place, keyId);
  if (!plain.ok) return plain;
  const sealed = await vault.seal(plain.value, place);
  plain.value.fill(0);
  return sealed;
}

interface Table {
  readonly name: "items" | "intents" | "deliveries" | "sweeps";
  readonly purpose: Place["purpose"];
  page(sql: Sql, after: string, limit: number): Promise<readonly Row[]>;
  /** Stores those that nobody has changed since they were read, and says how many. */
  store(sql: Sql, anew: readonly Again[], rows: Database["differences"]["rows"]): Promise<number>;
}

const tokens = (sql: Sql) =>
  sql
    .selectFrom("items")
    .select(["item_id as id", "environment", "token as bytes", "key_id", "token_version as version"]);

const items: Table = {
  name: "items",
  purpose: "token",
  page: (sql, after, limit) =>
    tokens(sql).where("item_id", ">", after).orderBy("item_id").limit(limit).execute(),
  // A rotation makes a new version. Who else seals the same version anew seals the same token.
  store: async (sql, anew, rows) => {
    let stored = 0;
    for (const [key_id, some] of Map.groupBy(anew, ({ sealed }) => sealed.key_id)) {
      const { numUpdatedRows } = await sql
        .updateTable("items")
        .from(
          rows("anew", {
            id: { kind: "text", values: some.map(({ id }) => id) },
            version: { kind: "integer", values: some.map(({ version }) => version!) },
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
  purpose: "intent",
  page: (sql, after, limit) =>
    sql
      .selectFrom("intents")
      .select(["intent_id as id", "environment", "detail as bytes", "key_id"])
      .where("detail", "is not", null)
      .where("intent_id", ">", after)
      .orderBy("intent_id")
      .limit(limit)
      .execute(),
  store: oneByOne((sql, { id, bytes, sealed }) =>
    sql
      .updateTable("intents")
      .set({ detail: sealed.bytes, key_id: sealed.key_id })
      .where("intent_id", "=", id)
      .where("detail", "=", bytes)
      .executeTakeFirst(),
  ),
};

const deliveries: Table = {
  name: "deliveries",
  purpose: "webhook",
  page: async (sql, after, limit) => {
    const [hash, iat] = partsOf(after);
    const page = await sql
      .selectFrom("deliveries")
      .select(["body_sha256", "iat", "environment", "body as bytes", "key_id"])
      .where("applied_at", "is", null)
      .where((row) =>
        row.or([
          row("body_sha256", ">", hash),
          row.and([row("body_sha256", "=", hash), row("iat", ">", iat)]),
        ]),
      )
      .orderBy("body_sha256")
      .orderBy("iat")
      .limit(limit)
      .execute();
    return page.map((row) => ({ ...row, id: deliveryId(row) }));
  },
  store: oneByOne((sql, { id, bytes, sealed }) => {
    const [hash, iat] = partsOf(id);
    return sql
      .updateTable("deliveries")
      .set({ body: sealed.bytes, key_id: sealed.key_id })
      .where("body_sha256", "=", hash)
      .where("iat", "=", iat)
      .where("body", "=", bytes)
      .executeTakeFirst();
  }),
};

const sweeps: Table = {
  name: "sweeps",
  purpose: "sweep",
  page: async (sql, after, limit) => {
    const page = await sql
      .selectFrom("sweeps")
      .select(["sweep_id", "environment", "detail as bytes", "key_id"])
      .where("sweep_id", ">", Number(after))
      .orderBy("sweep_id")
      .limit(limit)
      .execute();
    return page.map((row) => ({ ...row, id: `${row.sweep_id}` }));
  },
  store: oneByOne((sql, { id, bytes, sealed }) =>
    sql
      .updateTable("sweeps")
      .set({ detail: sealed.bytes, key_id: sealed.key_id })
      .where("sweep_id", "=", Number(id))
      .where("detail", "=", bytes)
      .executeTakeFirst(),
  ),
};

const tables = [items, intents, deliveries, sweeps];

/** The subject under which the body of a delivery is sealed. */
export const deliveryId = ({ body_sha256, iat }: { body_sha256: string; iat: number }): string =>
  `${body_sha256}.${iat}`;

/** Of the id of a delivery, or of nothing, which comes before the first. */
function partsOf(id: string): [hash: string, iat: number] {
  const [hash = "", iat = "0"] = id.split(".");
  return [hash, Number(iat)];
}

function oneByOne(
  store: (sql: Sql, one: Again) => Promise<{ readonly numUpdatedRows: bigint }>,
): Table["store"] {
  return async (sql, anew) => {
    let stored = 0;
    for (const one of anew) stored += Number((await store(sql, one)).numUpdatedRows);
    return stored;
  };
}
