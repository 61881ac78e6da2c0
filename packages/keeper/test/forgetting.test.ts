// Deliveries that were applied long ago are forgotten as fast as they come, however many there are; the others stay.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keeperStage } from "./keeper-stage.ts";
import { testPlaces } from "./places.ts";
import { soon } from "./sweep-stage.ts";

const { places, escrowFolder } = testPlaces("forgetting");
const DAY = 24 * 3_600_000;

for (const [name, empty] of Object.entries(places)) {
  describe(`forgetting: ${name}`, () => {
    test("one round forgets all that was applied long ago, and nothing else", async () => {
      const stage = await keeperStage(await empty(), escrowFolder());
      let keeper = await stage.reopen();
      const now = stage.clock.now();
      const add = (what: string, count: number, received_at: number, applied_at: number | null) =>
        keeper.database.sql
          .insertInto("deliveries")
          .values(
            Array.from({ length: count }, (_, number) => ({
              body_sha256: `${what} ${number}`,
              iat: 1,
              environment: "sandbox" as const,
              webhook_type: "ITEM",
              webhook_code: "X",
              item_id: "nobody",
              body: null,
              key_id: null,
              received_at,
              applied_at,
            })),
          )
          .execute();
      for (let page = 0; page < 5; page++) await add(`old ${page}`, 500, now - 2 * DAY, now - 2 * DAY);
      await add("young", 3, now - DAY / 2, now - DAY / 2);
      const left = async () =>
        (await keeper.database.sql.selectFrom("deliveries").select("body_sha256").execute()).map(
          ({ body_sha256 }) => body_sha256,
        );
      assert.equal((await left()).length, 2_503);
      keeper = await stage.reopen();
      await soon(async () => (await left()).length <= 3);
      assert.deepEqual((await left()).sort(), ["young 0", "young 1", "young 2"]);
      await stage.close();
    });
  });
}
