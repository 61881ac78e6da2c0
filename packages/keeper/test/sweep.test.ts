// Sweeps over both databases, and what only PostgreSQL would have against a large one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createSandbox } from "@sett/sandbox";
import { sql as raw } from "kysely";
import { openDatabase } from "../src/database/database.ts";
import type { Means } from "../src/lifecycle/means.ts";
import { dryRun, submit } from "../src/sweep/submit.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import { openVault } from "../src/vault/vault.ts";
import { configFor, open, publicToken, ringText, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { sweepContract } from "./sweep-contract.ts";

const { places, escrowFolder } = testPlaces("sweep");
for (const name of ["SQLite", "PostgreSQL"] as const)
  sweepContract({ name, empty: async () => ({ url: await places[name](), folder: escrowFolder() }) });

test("PostgreSQL: going through all Items may take longer than a statement may", async () => {
  const url = await places.PostgreSQL();
  const plaid = configFor(await createSandbox());
  const keeper = await open(url, escrowFolder(), plaid);
  value(await keeper.link(await publicToken(plaid)));
  await keeper.close();
  const now = Date.now;
  const database = value(await openDatabase(url, { now: now(), statementMs: 150 }));
  // As slow as with ten million.
  await raw`alter table items rename to all_items`.execute(database.sql);
  await raw`create view items as select all_items.* from all_items, (select pg_sleep(0.4)) as slow`.execute(
    database.sql,
  );
  const every = await database.read((sql) => sql.selectFrom("items").select("item_id").execute());
  assert.ok(!every.ok && every.error.code === "57014", "no statement is stopped here");
  const environment = "sandbox" as const;
  const vault = value(await openVault({ database, ring: localKeyRing(ringText), environment, now }));
  const means = { database, vault, environment, now } as Means;
  assert.equal(value(await dryRun(means, "rotate", {}, null)).total, 1);
  assert.equal(value(await submit(means, "rotate", {})).total, 1);
  vault.close();
  await database.close();
});
