// What Link tells by webhook: that update mode is over, which mends its Item, and public tokens, which become Items
// once, whether a webhook or the page is first, in one process or two.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Link, unwrap } from "sett";
import type { KeeperOptions } from "../src/keeper.ts";
import { keeperStage, linkRequest, webhook, type Stage } from "./keeper-stage.ts";
import { failure, institution, open, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("link-webhooks");
const exchangePath = "/item/public_token/exchange";

for (const [name, empty] of Object.entries(places)) {
  describe(`Link's webhooks: ${name}`, () => {
    const onStage = (
      title: string,
      options: Partial<KeeperOptions>,
      play: (stage: Stage & { url: string }) => Promise<void>,
    ) => {
      test(title, async () => {
        const url = await empty();
        const stage = await keeperStage(url, escrowFolder(), options);
        try {
          await play({ ...stage, url });
        } finally {
          await stage.close();
        }
      });
    };
    const hosted = async ({ plaid }: Stage) =>
      unwrap(
        await Link.createToken(
          { ...linkRequest, products: ["transactions"], webhook, hosted_link: {} },
          plaid,
        ),
      ).link_token;
    const exchanges = ({ asked }: Stage) => asked.filter((path) => path === exchangePath).length;

    onStage("the end of update mode mends the Item, and its beginning does not", {}, async (stage) => {
      const { sandbox, clock, reopen, link, events } = stage;
      let keeper = await reopen();
      const item_id = await link(keeper);
      assert.equal(failure(await keeper.updateMode(item_id, linkRequest)).kind, "not-needed");
      await clock.advance(1_000);
      sandbox.control.items.loginRequired(item_id);
      sandbox.control.items.newAccounts(item_id);
      keeper = await reopen();
      const made = value(await keeper.updateMode(item_id, { ...linkRequest, webhook }));
      const row = await keeper.database.sql
        .selectFrom("intents")
        .selectAll()
        .where("kind", "=", "update-mode")
        .execute();
      assert.ok(!JSON.stringify(row).includes(made.link_token));

      // The user leaves, and comes again.
      sandbox.control.link.exit(made.link_token);
      await clock.advance(1_000);
      keeper = await reopen();
      assert.equal(value(await keeper.find(item_id)).state, "login_required");
      sandbox.control.link.complete(made.link_token);
      await clock.advance(1_000);
      keeper = await reopen();
      assert.equal(value(await keeper.find(item_id)).state, "healthy", "new accounts were chosen, too");
      const last = (await events(keeper, item_id)).findLast(({ kind }) => kind === "item.state")!;
      assert.equal(last.detail["to"], "healthy");
    });

    onStage("update mode that did not help leaves the Item as Plaid has it", {}, async (stage) => {
      const { sandbox, clock, reopen, link } = stage;
      let keeper = await reopen();
      const item_id = await link(keeper);
      await clock.advance(1_000);
      sandbox.control.items.loginRequired(item_id);
      keeper = await reopen();
      value(await keeper.updateWebhook(item_id, null)); // of what comes now, no webhook tells
      const { link_token } = value(await keeper.updateMode(item_id, { ...linkRequest, webhook }));
      sandbox.control.link.complete(link_token);
      sandbox.control.items.fail(item_id, "ITEM_LOCKED");
      await clock.advance(1_000);
      keeper = await reopen();
      assert.equal(value(await keeper.find(item_id)).error_code, "ITEM_LOCKED");
    });

    onStage(
      "public tokens that come by webhook become Items of the user that is named, once",
      { linkFromWebhooks: ({ link_token }) => (link_token ? { userId: "u_hosted" } : undefined) },
      async (stage) => {
        const { sandbox, clock, reopen } = stage;
        let keeper = await reopen();
        const link_token = await hosted(stage);
        sandbox.control.webhooks.duplicate(2);
        const { item_id, public_token } = sandbox.control.link.complete(link_token);
        await clock.advance(1_000);
        keeper = await reopen();
        const item = value(await keeper.find(item_id));
        assert.deepEqual([item.state, item.user_id], ["healthy", "u_hosted"]);
        assert.equal(exchanges(stage), 1, "ITEM_ADD_RESULT and SESSION_FINISHED bring the same token");

        // And the page, late.
        const metadata = { userId: "u_hosted", institution, accounts: [{ mask: "0000", name: "x" }] };
        const again = value(await keeper.link(public_token!, metadata));
        assert.deepEqual([again.item_id, again.duplicates], [item_id, []]);
        assert.equal(exchanges(stage), 1);
        assert.deepEqual(await violations(sandbox, keeper, { removals: new Set() }), []);
      },
    );

    onStage(
      "what nobody wants is not linked, and what the database did not take is brought again",
      { linkFromWebhooks: () => undefined },
      async (stage) => {
        const { sandbox, clock, reopen } = stage;
        let keeper = await reopen();
        const { item_id } = sandbox.control.link.complete(await hosted(stage));
        await clock.advance(1_000);
        keeper = await reopen();
        assert.equal(failure(await keeper.find(item_id)).kind, "unknown-item");
        assert.equal(exchanges(stage), 0);

        let broken = true;
        keeper = await reopen({
          linkFromWebhooks: () => {
            if (broken) throw new Error("the application's own database is down");
            return {};
          },
        });
        const later = sandbox.control.link.complete(await hosted(stage));
        await clock.advance(1_000);
        assert.equal(failure(await keeper.find(later.item_id)).kind, "unknown-item");
        broken = false;
        keeper = await reopen({ linkFromWebhooks: () => ({}) });
        assert.equal(value(await keeper.find(later.item_id)).state, "healthy");
      },
    );

    onStage("a token that several bring at once is exchanged once", {}, async (stage) => {
      const { sandbox, clock, reopen, publicToken, plaid, url } = stage;
      const keeper = await reopen();
      const other = await open(url, escrowFolder(), plaid, { now: clock.now });
      for (let round = 0; round < 5; round++) {
        const token = await publicToken();
        const before = exchanges(stage);
        const options = { userId: `u_${round}`, institution };
        const linked = await Promise.all(
          Array.from({ length: 6 }, (_, n) => (n % 2 ? keeper : other).link(token, options)),
        );
        const ids = new Set(linked.map((one) => value(one).item_id));
        assert.equal(ids.size, 1);
        assert.equal(exchanges(stage) - before, 1);
      }
      await other.close();
      const { n } = await keeper.database.sql
        .selectFrom("intents")
        .select((row) => row.fn.countAll().as("n"))
        .where("kind", "=", "exchange")
        .executeTakeFirstOrThrow();
      assert.equal(Number(n), 5);
      assert.deepEqual(await violations(sandbox, keeper, { removals: new Set() }), []);
    });

    onStage(
      "whoever comes second finishes what the first could not, and nothing is lost",
      {},
      async (stage) => {
        const { sandbox, reopen, publicToken } = stage;
        const keeper = await reopen();
        const token = await publicToken();
        sandbox.control.faults.add({ path: exchangePath, times: 50, then: "reset" });
        assert.equal(failure(await keeper.link(token)).kind, "unfinished");
        assert.equal(failure(await keeper.link(token)).kind, "unfinished");
        sandbox.control.faults.clear();
        const linked = value(await keeper.link(token));
        assert.deepEqual(value(await keeper.recover()).bad, []);
        assert.equal(value(await keeper.link(token)).item_id, linked.item_id);

        // What was refused and not begun may be tried again, with both tries on record.
        const next = await publicToken();
        sandbox.control.faults.add({ path: exchangePath, times: 3, then: "RATE_LIMIT" });
        assert.equal(failure(await keeper.link(next)).kind, "plaid");
        assert.equal(value(await keeper.link(next)).state, "healthy");
        const outcomes = await keeper.database.sql
          .selectFrom("intents")
          .select("outcome")
          .where("kind", "=", "exchange")
          .execute();
        assert.deepEqual(outcomes.map(({ outcome }) => outcome).sort(), ["done", "done", "not-done"]);

        // One that is lost is lost, and is not asked for again.
        const bad = await publicToken();
        sandbox.control.faults.add({ path: exchangePath, then: "drop-after-commit" });
        const lost = failure(await keeper.link(bad));
        assert.equal(lost.kind, "lost");
        const before = exchanges(stage);
        assert.deepEqual(failure(await keeper.link(bad)), lost);
        assert.equal(exchanges(stage), before);
        assert.deepEqual(await violations(sandbox, keeper, { removals: new Set() }), []);
      },
    );

    onStage("an Item that was removed is not given again for the token it came by", {}, async (stage) => {
      const { reopen, publicToken } = stage;
      const keeper = await reopen();
      const token = await publicToken();
      const { item_id } = value(await keeper.link(token));
      value(await keeper.remove(item_id));
      assert.equal(failure(await keeper.link(token)).kind, "plaid");
      assert.equal(value(await keeper.find(item_id)).state, "removed");
    });
  });
}
