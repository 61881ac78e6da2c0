// A process that opens the database together with others and writes to it, or that writes until it is killed:
// see database.ts and ../database.test.ts.

import assert from "node:assert/strict";
import { ok } from "sett";
import { openDatabase } from "../../src/database/database.ts";
import { itemRow, keyRow, now, value } from "./database.ts";

const [url, name, tell] = process.argv.slice(2);
const database = value(await openDatabase(url!, { now }));
await database.sql
  .insertInto("keys")
  .values(keyRow)
  .onConflict((conflict) => conflict.doNothing())
  .execute();
for (let round = 0; tell ? true : round < 10; round++) {
  const outcomes = await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      database.transaction(async (sql) => {
        await sql
          .insertInto("items")
          .values(itemRow(`${name} ${round} ${index}`))
          .execute();
        return ok(`${name} ${round} ${index}`);
      }),
    ),
  );
  for (const outcome of outcomes) {
    assert.ok(outcome.ok, JSON.stringify(outcome));
    if (tell) process.send!(outcome.value);
  }
}
await database.close();
