// SIGKILL at every step of a re-encryption: whatever it had done and not done, each secret opens under the key that its
// row names, and begun again it does the rest, no more.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openDatabase, type Database } from "../src/database/database.ts";
import { reencrypt } from "../src/vault/reencrypt.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import { openVault, type Vault } from "../src/vault/vault.ts";
import { runProgram } from "./children.ts";
import type { Order } from "./crash-reencrypt.ts";
import { ringText, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const program = join(import.meta.dirname, "crash-reencrypt.ts");
const { places } = testPlaces("crash-reencrypt");
const batch = 3;
const names = Array.from({ length: 6 }, (_, index) => `item-${index}`);

async function fill({ sql }: Database, vault: Vault): Promise<void> {
  for (const item_id of names) {
    const sealed = value(
      await vault.seal(Buffer.from(`of ${item_id}`), { purpose: "token", subject: item_id }),
    );
    const token = { token: sealed.bytes, key_id: sealed.key_id, token_at: 1, linked_at: 1 };
    await sql
      .insertInto("items")
      .values({ item_id, environment: "sandbox", state: "healthy", ...token })
      .execute();
    const detail = value(
      await vault.seal(Buffer.from(`detail of ${item_id}`), { purpose: "intent", subject: item_id }),
    );
    const intent = { intent_id: item_id, environment: "sandbox", kind: "exchange", opened_at: 1 } as const;
    await sql
      .insertInto("intents")
      .values({ ...intent, detail: detail.bytes, key_id: detail.key_id })
      .execute();
  }
}

/** Opens all of it. Gives how many rows are not under this key. */
async function left({ sql }: Database, vault: Vault, target: string): Promise<number> {
  const items = await sql.selectFrom("items").select(["item_id as id", "token as bytes", "key_id"]).execute();
  const intents = await sql
    .selectFrom("intents")
    .select(["intent_id as id", "detail as bytes", "key_id"])
    .execute();
  for (const [rows, purpose, text] of [
    [items, "token", "of"],
    [intents, "intent", "detail of"],
  ] as const) {
    assert.equal(rows.length, names.length);
    for (const { id, bytes, key_id } of rows) {
      const opened = value(await vault.open(bytes!, { purpose, subject: id }, key_id));
      assert.equal(opened.toString(), `${text} ${id}`);
    }
  }
  return [...items, ...intents].filter(({ key_id }) => key_id !== target).length;
}

for (const [name, empty] of Object.entries(places)) {
  test(`killed at every step of a re-encryption, and begun again: ${name}`, async (t) => {
    const url = await empty();
    const database = value(await openDatabase(url, { now: Date.now() }));
    const ring = localKeyRing(ringText);
    const vault = value(await openVault({ database, ring, environment: "sandbox", now: Date.now }));
    await fill(database, vault);
    const everything = 2 * names.length;
    const seen = new Set<number>();
    let killAt = 1;
    for (; ; killAt++) {
      const target = value(await vault.newEpoch());
      assert.equal(await left(database, vault, target), everything);
      const { killed } = await runProgram(program, { url, batch, killAt } satisfies Order);
      const rest = await left(database, vault, target);
      seen.add(rest);
      assert.equal(
        value(await reencrypt(vault, database, { batch })).moved,
        rest,
        `killed at step ${killAt}`,
      );
      assert.equal(await left(database, vault, target), 0);
      if (!killed) {
        assert.equal(rest, 0);
        break;
      }
    }
    assert.deepEqual([...seen], [12, 9, 6, 3, 0], "a batch is there as a whole or not at all");
    t.diagnostic(`${killAt - 1} deaths`);
    vault.close();
    await database.close();
  });
}
