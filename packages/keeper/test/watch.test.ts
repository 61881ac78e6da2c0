// What a keeper sees of an Item in passing: whoever meets a refusal or gets an answer moves the Item's state, without
// waiting for it and without a write where there is no news.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Item } from "sett";
import { claimLease, leaseOfItem } from "../src/database/leases.ts";
import { sweeperOf } from "../src/lifecycle/arrival.ts";
import { keeperStage, type Stage } from "./keeper-stage.ts";
import { failure, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("watch");
const MINUTE = 60_000;

for (const [name, empty] of Object.entries(places)) {
  describe(`in passing: ${name}`, () => {
    const onStage = (title: string, play: (stage: Stage) => Promise<void>) => {
      test(title, async () => {
        const stage = await keeperStage(await empty(), escrowFolder());
        try {
          await play(stage);
        } finally {
          await stage.close();
        }
      });
    };

    onStage("a refusal moves the Item's state, whoever met it, and is given on as it was", async (stage) => {
      const { sandbox, clock, reopen, link, plaid } = stage;
      let keeper = await reopen();
      const official = Object.assign(new Error("Request failed with status code 400"), {
        response: { status: 400, data: { error_code: "ITEM_LOGIN_REQUIRED", error_type: "ITEM_ERROR" } },
      });
      const meet: Record<string, (item_id: string) => Promise<void>> = {
        "sett's Result in use": async (item_id) => {
          const result = value(
            await keeper.use(item_id, async () => ({
              ok: false,
              error: { kind: "refused", error: { error_code: "ITEM_LOGIN_REQUIRED" } },
            })),
          );
          assert.equal(result.ok, false);
        },
        "an exception of the official client": async (item_id) => {
          await assert.rejects(
            keeper.use(item_id, () => Promise.reject(official)),
            official,
          );
        },
        rotate: async (item_id) => {
          sandbox.control.faults.add({ path: "/item/access_token/invalidate", then: "ITEM_LOGIN_REQUIRED" });
          assert.equal(failure(await keeper.rotate(item_id)).kind, "plaid");
        },
        updateWebhook: async (item_id) => {
          sandbox.control.faults.add({ path: "/item/webhook/update", then: "ITEM_LOGIN_REQUIRED" });
          assert.equal(failure(await keeper.updateWebhook(item_id, null)).kind, "plaid");
        },
        get: async (item_id) => {
          sandbox.control.faults.add({ path: "/item/get", then: "ITEM_LOGIN_REQUIRED" });
          assert.equal(failure(await keeper.get(item_id)).kind, "plaid");
        },
        "an answer with an error in it": async (item_id) => {
          sandbox.control.webhooks.hold();
          sandbox.control.items.loginRequired(item_id);
          const answer = value(await keeper.get(item_id));
          assert.equal(answer.item.error?.error_code, "ITEM_LOGIN_REQUIRED");
        },
      };
      for (const [who, act] of Object.entries(meet)) {
        const item_id = await link(keeper);
        await clock.advance(1_000);
        await act(item_id);
        keeper = await reopen();
        const { state, error_code } = value(await keeper.find(item_id));
        assert.deepEqual([state, error_code], ["login_required", "ITEM_LOGIN_REQUIRED"], who);
      }
      // A refusal that is not about the Item changes nothing.
      const item_id = await link(keeper);
      await keeper.use(item_id, async () => ({ error_code: "RATE_LIMIT" }));
      await keeper.use(item_id, (access_token) => Item.get(access_token, plaid));
      keeper = await reopen();
      assert.equal(value(await keeper.find(item_id)).state, "healthy");
    });

    onStage(
      "work that was under way during a rotation is done again, whichever code the old token gets, and moves no state",
      async ({ sandbox, reopen, link, plaid, events }) => {
        for (const rotatedToken of ["INVALID_ACCESS_TOKEN", "ITEM_NOT_FOUND"] as const) {
          sandbox.control.switches.set({ rotatedToken });
          let keeper = await reopen();
          const item_id = await link(keeper);
          const thrower = async (token: string) => {
            const answer = await Item.get(token, plaid);
            if (!answer.ok) throw Object.assign(new Error("400"), { failure: answer.error });
            return answer;
          };
          for (const asked of [(token: string) => Item.get(token, plaid), thrower]) {
            let tries = 0;
            const used = await keeper.use(item_id, async (token) => {
              if (++tries === 1) value(await keeper.rotate(item_id));
              return asked(token);
            });
            assert.equal(value(value(used)).item.item_id, item_id, rotatedToken);
            assert.equal(tries, 2);
          }
          keeper = await reopen();
          assert.equal(value(await keeper.find(item_id)).state, "healthy");
          const kinds = (await events(keeper, item_id)).map(({ kind }) => kind);
          assert.ok(!kinds.includes("item.state"), `${kinds}`);
        }
      },
    );

    onStage(
      "a refusal of the token that the Item has is given on, once, and moves the state where it is of the Item",
      async ({ sandbox, reopen, link, plaid }) => {
        for (const [then, state] of [
          ["INVALID_ACCESS_TOKEN", "healthy"],
          ["ITEM_NOT_FOUND", "revoked"],
        ] as const) {
          let keeper = await reopen();
          const item_id = await link(keeper);
          sandbox.control.faults.add({ path: "/item/get", times: 1, then });
          let tries = 0;
          const used = await keeper.use(item_id, (token) => (tries++, Item.get(token, plaid)));
          const refused = failure(value(used));
          assert.equal(refused.kind === "refused" && refused.error.error_code, then);
          assert.equal(tries, 1);
          keeper = await reopen();
          assert.equal(value(await keeper.find(item_id)).state, state);
        }
      },
    );

    onStage(
      "who rotates within each piece of work is told that the Item is busy, and nothing is made of it",
      async ({ reopen, link, plaid }) => {
        let keeper = await reopen();
        const item_id = await link(keeper);
        const used = await keeper.use(item_id, async (token) => {
          value(await keeper.rotate(item_id));
          return Item.get(token, plaid);
        });
        assert.deepEqual(failure(used), { kind: "busy", item_id });
        keeper = await reopen();
        assert.equal(value(await keeper.find(item_id)).state, "healthy");
      },
    );

    onStage("an answer that is no news is written down once an hour", async ({ clock, reopen, link }) => {
      let keeper = await reopen();
      const item_id = await link(keeper);
      await clock.advance(MINUTE);
      value(await keeper.get(item_id));
      keeper = await reopen();
      const first = value(await keeper.find(item_id));
      assert.equal(first.checked_at, clock.now());
      for (let minutes = 0; minutes < 50; minutes += 10) {
        await clock.advance(10 * MINUTE);
        value(await keeper.get(item_id));
      }
      keeper = await reopen();
      assert.deepEqual(value(await keeper.find(item_id)), first);
      await clock.advance(11 * MINUTE);
      value(await keeper.get(item_id));
      keeper = await reopen();
      const later = value(await keeper.find(item_id));
      assert.deepEqual(later, { ...first, checked_at: clock.now() });
    });

    onStage(
      "an answer heals what a webhook left broken, and find does not ask Plaid",
      async ({ sandbox, clock, reopen, link, asked }) => {
        let keeper = await reopen();
        const item_id = await link(keeper);
        await clock.advance(MINUTE);
        sandbox.control.items.loginRequired(item_id);
        keeper = await reopen();
        assert.equal(value(await keeper.find(item_id)).state, "login_required");
        // Nobody tells of the end of update mode.
        sandbox.control.items.completeUpdateMode(item_id);
        await clock.advance(MINUTE);
        const before = asked.length;
        assert.equal(value(await keeper.find(item_id)).state, "login_required");
        assert.equal(asked.length, before);
        value(await keeper.get(item_id));
        keeper = await reopen();
        assert.equal(value(await keeper.find(item_id)).state, "healthy");
      },
    );

    onStage("the caller of get does not wait for what is made of its answer", async ({ reopen, link }) => {
      let keeper = await reopen();
      const item_id = await link(keeper);
      const gate = Promise.withResolvers<void>();
      const holding = keeper.database.transaction(async (sql) => {
        await keeper.database.differences
          .lockRows(sql.selectFrom("items").select("state").where("item_id", "=", item_id))
          .execute();
        await gate.promise;
        return { ok: true, value: undefined };
      });
      value(await keeper.get(item_id));
      gate.resolve();
      await holding;
      keeper = await reopen();
      assert.notEqual(value(await keeper.find(item_id)).checked_at, null);
    });

    onStage(
      "a webhook that somebody else has moved is taken into the row, with an event; one of ours is not undone",
      async (stage) => {
        const { clock, reopen, link, plaid, events } = stage;
        let keeper = await reopen();
        const item_id = await link(keeper);
        await clock.advance(10 * MINUTE);
        value(await keeper.get(item_id));
        keeper = await reopen();
        const drifts = async () =>
          (await events(keeper, item_id)).filter(({ kind }) => kind === "item.webhook_drifted").length;
        assert.equal(value(await keeper.find(item_id)).webhook, "https://keeper.example/plaid");
        assert.equal(await drifts(), 0, "what was not known before has not drifted");

        value(
          await keeper.use(item_id, (token) => Item.updateWebhook(token, "https://other.example/", plaid)),
        );
        const old = value(await keeper.get(item_id));
        const oldAt = clock.now();
        keeper = await reopen();
        assert.equal(value(await keeper.find(item_id)).webhook, "https://other.example/");
        assert.equal(await drifts(), 1);

        // An answer from before our own move says nothing about now.
        await clock.advance(10 * MINUTE);
        value(await keeper.updateWebhook(item_id, "https://mine.example/"));
        value(await keeper.observe(item_id, { kind: "answer", answer: old, at: oldAt }));
        assert.equal(value(await keeper.find(item_id)).webhook, "https://mine.example/");
        await clock.advance(10 * MINUTE);
        value(await keeper.get(item_id));
        keeper = await reopen();
        assert.equal(value(await keeper.find(item_id)).webhook, "https://mine.example/");
        assert.equal(await drifts(), 1);

        // While ours is under way, its end is awaited.
        await clock.advance(10 * MINUTE);
        const gate = Promise.withResolvers<void>();
        const there = Promise.withResolvers<void>();
        keeper = await reopen({
          at: (step) => {
            if (step !== "webhook: intended") return undefined;
            there.resolve();
            return gate.promise;
          },
        });
        const moving = keeper.updateWebhook(item_id, "https://later.example/");
        await there.promise;
        value(await keeper.observe(item_id, { kind: "answer", answer: old, at: clock.now() }));
        assert.equal(value(await keeper.find(item_id)).webhook, "https://mine.example/");
        gate.resolve();
        assert.equal(value(await moving).webhook, "https://later.example/");
        assert.equal(await drifts(), 1);

        // A sweep has the Item: it has told Plaid, and has not written it down yet.
        await clock.advance(10 * MINUTE);
        const lease = await claimLease(keeper.database.sql, {
          name: leaseOfItem(item_id),
          holder: sweeperOf("another keeper"),
          now: clock.now(),
          forMs: MINUTE,
        });
        assert.ok(lease);
        const swept = { ...old, item: { ...old.item, webhook: "https://swept.example/" } };
        value(await keeper.observe(item_id, { kind: "answer", answer: swept, at: clock.now() }));
        assert.equal(value(await keeper.find(item_id)).webhook, "https://later.example/");
        assert.equal(await drifts(), 1);
        // And one that nobody has any more hides nothing.
        await clock.advance(10 * MINUTE);
        value(await keeper.observe(item_id, { kind: "answer", answer: swept, at: clock.now() }));
        assert.equal(value(await keeper.find(item_id)).webhook, "https://swept.example/");
        assert.equal(await drifts(), 2);
      },
    );
  });
}
