// A database made by the first version of the schema, with rows in every table of it and secrets sealed by a real vault,
// under every schema that came after: nothing in it may change, and all of it must open.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { createSandbox, type Sandbox } from "@sett/sandbox";
import { sql as raw } from "kysely";
import { Item, unwrap } from "sett";
import { openDatabase, type Database } from "../src/database/database.ts";
import { migrations } from "../src/database/migrations.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import { openVault, type Place, type Vault } from "../src/vault/vault.ts";
import { configFor, failure, open, publicToken, ringText, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { bare, escrowFolder } = testPlaces("upgrade");
const environment = "sandbox";
const now = Date.now();
/** The schemas there have been, by how many steps they have. */
const schemas = migrations.map((_, index) => migrations.slice(0, index + 1));

/** A secret, and where it is kept. */
interface Kept {
  readonly table: "items" | "intents" | "deliveries";
  readonly column: "token" | "detail" | "body";
  readonly place: Place;
  readonly plain: string;
}

type Tables = Map<string, readonly Record<string, unknown>[]>;

/** What the first version left behind: an Item that works, one that was removed, a webhook moved half-way, another that waits. */
async function firstVersion(url: string, sandbox: Sandbox) {
  const plaid = configFor(sandbox);
  const { access_token, item_id } = unwrap(await Item.exchangePublicToken(await publicToken(plaid), plaid));
  const database = value(await openDatabase(url, { now, migrations: schemas[0]! }));
  const vault = await vaultOver(database);
  const webhook = { webhook_type: "ITEM", webhook_code: "NEW_ACCOUNTS_AVAILABLE", item_id, environment };
  const body = JSON.stringify(webhook);
  const body_sha256 = createHash("sha256").update(body).digest("hex");
  const iat = Math.floor(now / 1000);
  const secrets: readonly Kept[] = [
    { table: "items", column: "token", place: { purpose: "token", subject: item_id }, plain: access_token },
    {
      table: "intents",
      column: "detail",
      place: { purpose: "intent", subject: "intent-open" },
      plain: JSON.stringify({ webhook: "https://moved.example/plaid" }),
    },
    {
      table: "deliveries",
      column: "body",
      place: { purpose: "webhook", subject: `${body_sha256}.${iat}` },
      plain: body,
    },
  ];
  const [token, detail, sealedBody] = await Promise.all(
    secrets.map(async ({ plain, place }) => value(await vault.seal(Buffer.from(plain), place))),
  );
  const { sql } = database;
  const item = {
    environment,
    token_version: 1,
    revision: 1,
    user_id: "u_1",
    institution_id: "ins_109508",
    token_at: now,
    linked_at: now,
  } as const;
  await sql
    .insertInto("items")
    .values([
      { ...item, item_id, state: "healthy", token: token!.bytes, key_id: token!.key_id },
      { ...item, item_id: "item-removed", state: "removed", token_version: 7, removed_at: now },
    ])
    .execute();
  const fingerprint = value(await vault.fingerprint(["account", "u_1", "ins_109508", "0000", "Checking"]));
  await sql.insertInto("fingerprints").values({ item_id, fingerprint }).execute();
  const intent = { environment, holder: "gone", fence: 1, opened_at: now } as const;
  await sql
    .insertInto("intents")
    .values([
      {
        ...intent,
        intent_id: "intent-open",
        kind: "webhook",
        item_id,
        detail: detail!.bytes,
        key_id: detail!.key_id,
      },
      { ...intent, intent_id: "intent-lost", kind: "exchange", settled_at: now, outcome: "lost", note: "{}" },
    ])
    .execute();
  await sql
    .insertInto("leases")
    .values({ name: `item ${item_id}`, holder: "gone", fence: 1, until_ms: now - 1 })
    .execute();
  const event = { environment, at: now, item_id, actor: "keeper", detail: "{}" } as const;
  for (const kind of ["item.linked", "item.rotated"])
    await sql
      .insertInto("events")
      .values({ ...event, kind })
      .execute();
  const { webhook_type, webhook_code } = webhook;
  const delivery = { environment, item_id, iat, webhook_type, webhook_code, received_at: now } as const;
  await sql
    .insertInto("deliveries")
    .values([
      { ...delivery, body_sha256, body: sealedBody!.bytes, key_id: sealedBody!.key_id },
      { ...delivery, body_sha256: "0".repeat(64), applied_at: now },
    ])
    .execute();
  // As it was before it had an environment.
  await raw`insert into cursors (subscriber, seq, updated_at) values ('audit', 1, ${now})`.execute(sql);
  const rows = await tablesOf(database);
  vault.close();
  await database.close();
  return { item_id, fingerprint, secrets, rows };
}

const vaultOver = async (database: Database): Promise<Vault> =>
  value(await openVault({ database, ring: localKeyRing(ringText), environment, now: () => now }));

/** Every row of every table there is, in an order of its own. */
async function tablesOf({ sql }: Database): Promise<Tables> {
  const tables: Tables = new Map();
  for (const { name, schema } of await sql.introspection.getTables()) {
    if (schema !== undefined && schema !== "sett") continue;
    const { rows } = await raw<Record<string, unknown>>`select * from ${raw.table(name)}`.execute(sql);
    tables.set(
      name,
      rows.sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1)),
    );
  }
  return tables;
}

/** All that the first version left is there, to the byte; later versions may have added columns and tables. */
async function holdsAll(database: Database, made: Awaited<ReturnType<typeof firstVersion>>): Promise<void> {
  const tables = await tablesOf(database);
  for (const [name, before] of made.rows) {
    if (name === "migrations") continue;
    const columns = Object.keys(before[0]!);
    const after = tables
      .get(name)
      ?.filter((row) => (row["environment"] ?? environment) === environment)
      .map((row) => Object.fromEntries(columns.map((column) => [column, row[column]])));
    assert.deepEqual(
      after,
      before.map((row) => ({ ...row })),
      name,
    );
  }
  const vault = await vaultOver(database);
  for (const { table, column, place, plain } of made.secrets) {
    const row = tables.get(table)!.find((row) => row[column] !== null)!;
    const opened = value(await vault.open(row[column] as Buffer, place, row["key_id"] as string));
    assert.equal(opened.toString(), plain, table);
  }
  const again = await vault.fingerprint(["account", "u_1", "ins_109508", "0000", "Checking"]);
  assert.deepEqual(value(again), made.fingerprint);
  vault.close();
}

for (const place of ["SQLite", "PostgreSQL"] as const) {
  describe(`a database of the first version: ${place}`, () => {
    for (const schema of schemas) {
      test(`opens with schema ${schema.length}, with every row and every secret as it was`, async () => {
        const sandbox = await createSandbox();
        const url = await bare[place]();
        const made = await firstVersion(url, sandbox);
        for (const [name, rows] of made.rows) assert.ok(rows.length > 0, `nothing was put into ${name}`);
        const database = value(await openDatabase(url, { now, migrations: schema }));
        await holdsAll(database, made);
        await database.close();
        await sandbox.close();
      });
    }

    test("step by step, then in a keeper: what was left open is finished, and its Item works", async () => {
      const sandbox = await createSandbox();
      const url = await bare[place]();
      const made = await firstVersion(url, sandbox);
      for (const schema of schemas) {
        const database = value(await openDatabase(url, { now, migrations: schema }));
        await holdsAll(database, made);
        await database.close();
      }
      const keeper = await open(url, escrowFolder(), configFor(sandbox));
      assert.deepEqual(value(keeper.recovered).open, []);
      const { item_id } = made;
      const { webhook, state, token_version } = value(await keeper.find(item_id));
      assert.deepEqual([webhook, state, token_version], ["https://moved.example/plaid", "new_accounts", 1]);
      value(await keeper.get(item_id));
      assert.equal(value(await keeper.rotate(item_id)).token_version, 2);
      value(await keeper.remove(item_id));
      assert.equal(value(await keeper.forgetUser("u_1")).items, 2);
      await keeper.close();
      await sandbox.close();
    });

    test("once it has gone on, each older program refuses it and says which schema it has", async () => {
      const url = await bare[place]();
      await value(await openDatabase(url, { now })).close();
      for (const older of schemas.slice(0, -1)) {
        const refused = failure(await openDatabase(url, { now, migrations: older }));
        assert.equal(refused.kind, "newer-schema");
        assert.ok(refused.detail.includes(`has schema ${migrations.length} `), refused.detail);
        assert.ok(refused.detail.includes(`this program knows ${older.length}`), refused.detail);
      }
    });
  });
}
