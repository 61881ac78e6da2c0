// Recovery goes on: what cannot be worked with is told of, and keeps nothing else waiting, at open, on the timer or when
// asked; and an opening that fails leaves nothing behind that the next one would trip over.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { Item, unwrap } from "sett";
import { openEscrow } from "../src/escrow/escrow.ts";
import type { Keeper } from "../src/keeper.ts";
import { openKeeper } from "../src/open.ts";
import { nothingKnown } from "../src/lifecycle/arrival.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import { keeperStage, type Stage } from "./keeper-stage.ts";
import { failure, ringText, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("recover");
const later = 600_000; // leases have run out

for (const [name, empty] of Object.entries(places)) {
  describe(`recovery: ${name}`, () => {
    const onStage = (
      title: string,
      play: (stage: Stage, place: { url: string; folder: string }) => Promise<void>,
    ) => {
      test(title, async () => {
        const place = { url: await empty(), folder: escrowFolder() };
        const stage = await keeperStage(place.url, place.folder, { budget: false });
        try {
          await play(stage, place);
        } finally {
          await stage.close();
        }
      });
    };
    /** An intent whose detail nobody can read, though it is sealed as it should be. */
    const poison = async (
      { database, vault }: Keeper,
      kind: "exchange" | "webhook",
      item_id: string | null,
    ) => {
      const intent_id = randomUUID();
      const place = { purpose: "intent", subject: intent_id } as const;
      const { bytes, key_id } = value(await vault.seal(Buffer.from("access-secret, no JSON"), place));
      const intent = { intent_id, kind, item_id, detail: bytes, key_id, environment: "sandbox" } as const;
      await database.sql
        .insertInto("intents")
        .values({ ...intent, holder: "gone", fence: 1, until_ms: 0, opened_at: 0 })
        .execute();
      return intent_id;
    };

    onStage("an intent that nobody can work with is told of, and the others are finished", async (stage) => {
      const { sandbox, clock, reopen, link } = stage;
      let keeper = await reopen();
      const [bad, good] = [await link(keeper), await link(keeper)];
      const poisoned = [await poison(keeper, "exchange", null), await poison(keeper, "webhook", bad)];
      sandbox.control.faults.add({ path: "/item/webhook/update", then: "drop-after-commit" });
      sandbox.control.faults.add({ path: "/item/webhook/update", then: "reset", times: 10 });
      assert.equal(failure(await keeper.updateWebhook(good, null)).kind, "unfinished");
      sandbox.control.faults.clear();
      for (const how of ["asked", "opened", "opened again"]) {
        await clock.advance(later);
        if (how !== "asked") keeper = await reopen();
        const recovery = value(how === "asked" ? await keeper.recover() : keeper.recovered);
        assert.equal(recovery.finished, how === "asked" ? 1 : 0, how);
        const open = recovery.open.map((one) => (one.kind === "unfinished" ? one.intent_id : one.kind));
        assert.deepEqual(open.toSorted(), poisoned.toSorted(), how);
        assert.ok(!JSON.stringify(recovery).includes("access-secret"));
      }
      assert.equal(value(await keeper.find(good)).webhook, null);
    });

    onStage("a round that throws on the timer ends nothing, and is told", async (stage) => {
      const { reopen, clock } = stage;
      let rounds = 0;
      let broken = false;
      const now = () => {
        if (broken) throw new RangeError("no time");
        return clock.now();
      };
      const told = Promise.withResolvers<unknown>();
      const timer = test.mock.timers;
      timer.enable({ apis: ["setInterval"] });
      try {
        const onRecovered = () => void rounds++;
        await reopen({ now, recoverEveryMs: 1_000, onProblem: told.resolve, onRecovered });
        broken = true;
        timer.tick(1_000);
        assert.ok((await told.promise) instanceof RangeError);
      } finally {
        broken = false;
        timer.reset();
      }
      assert.equal(rounds, 1);
    });

    onStage("an opening that fails lets go of what it had taken", async (stage, { url, folder }) => {
      const { reopen, plaid, clock, publicToken } = stage;
      const keeper = await reopen();
      // As a process that is gone left it.
      const { access_token, item_id, request_id } = unwrap(
        await Item.exchangePublicToken(await publicToken(), plaid),
      );
      const [id, intent_id] = [randomUUID(), randomUUID()];
      const of = { kind: "exchange", intent_id, item_id } as const;
      const given = { ...of, request_id, from_version: 0, fence: 1, access_token, about: nothingKnown };
      const sealed = await keeper.vault.sealPortable(Buffer.from(JSON.stringify(given)), {
        purpose: "escrow",
        subject: id,
      });
      await keeper.close();
      const escrow = value(await openEscrow(folder, { mint: randomUUID }));
      const meta = { ...of, environment: "sandbox" };
      value(await escrow.record({ id, at: clock.now(), meta }, async () => sealed));
      await escrow.close();

      let broken = false;
      const options = { plaid, database: url, folder, keys: localKeyRing(ringText), recoverEveryMs: 0 };
      const failing = openKeeper({
        ...options,
        // The last that is looked at before the rooms are put together.
        get at() {
          broken = true;
          return undefined;
        },
        now: () => {
          if (broken) throw new RangeError("no time");
          return clock.now();
        },
      });
      await assert.rejects(failing, RangeError);
      const recovery = value((await reopen()).recovered);
      assert.deepEqual(recovery.adopted, [item_id]);
    });
  });
}
