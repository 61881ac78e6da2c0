// What a browser, or a mistake, brings to the keeper's door: it is refused by name before anything is done, or it is kept;
// never does it stand in the way of what comes after it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { publicTokenTaker } from "../src/hosted.ts";
import type { Keeper } from "../src/keeper.ts";
import type { LinkOptions } from "../src/lifecycle/link.ts";
import { keeperStage, linkRequest, type Stage } from "./keeper-stage.ts";
import { failure, institution, value } from "./lifecycle-world.ts";
import { chunks } from "./moving-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("arguments");
const exchangePath = "/item/public_token/exchange";
const secretly = "do-not-say-this";
const odd: readonly unknown[] = [
  42,
  {},
  [],
  true,
  "",
  `${secretly}\0`,
  `${secretly}\ud800`,
  "x".repeat(8_000),
];
const noText = odd.slice(0, 4);

for (const [name, empty] of Object.entries(places)) {
  describe(`what callers say: ${name}`, () => {
    const onStage = (title: string, play: (stage: Stage, keeper: Keeper) => Promise<void>) => {
      test(title, async () => {
        const stage = await keeperStage(await empty(), escrowFolder(), { budget: false });
        try {
          await play(stage, await stage.reopen());
        } finally {
          await stage.close();
        }
      });
    };
    /** A TypeError with the argument's name, and with nothing of its value. */
    const refuses = (work: () => Promise<unknown>, said: RegExp) =>
      assert.rejects(work, (thrown) => {
        assert.ok(thrown instanceof TypeError);
        assert.match(thrown.message, said);
        assert.ok(!inspect(thrown).includes(secretly), "a value was told");
        return true;
      });
    const intents = async ({ database }: Keeper) =>
      (await database.sql.selectFrom("intents").select("intent_id").execute()).length;

    onStage("a link with what can be nobody's id is refused before Plaid is asked", async (stage, keeper) => {
      const public_token = await stage.publicToken();
      const of = (options: object) => () => keeper.link(public_token, options as LinkOptions);
      for (const one of odd) {
        await refuses(() => keeper.link(one as string), /^the public token must be/);
        await refuses(of({ userId: one }), /^userId must be/);
        await refuses(of({ linkToken: one }), /^linkToken must be/);
        await refuses(of({ institution: { institution_id: one } }), /^institution\.institution_id must be/);
      }
      for (const one of noText) {
        const about = { institution_id: "ins_1" };
        await refuses(of({ institution: { ...about, name: one } }), /^institution\.name must be/);
        await refuses(of({ accounts: [{ mask: one }] }), /^an account's mask must be/);
        await refuses(of({ accounts: [{ name: one }] }), /^an account's name must be/);
        await refuses(of({ duplicates: one }), /^duplicates must be/);
      }
      for (const one of ["text", 42, {}, [null], ["text"]])
        await refuses(of({ accounts: one }), /^accounts must be/);
      await refuses(of({ institution: "ins_1" }), /^institution must be/);
      assert.ok(!stage.asked.includes(exchangePath));
      assert.equal(await intents(keeper), 0);
      const nothing = { userId: null, linkToken: null, institution: null } as object;
      value(await keeper.link(public_token, nothing));
    });

    onStage("a bank's name and accounts, however odd, cost nobody a link", async (stage, keeper) => {
      const names = [
        "First\0Bank",
        "x".repeat(1_023) + "\u{1f3e6}",
        "\ud83c",
        "\0",
        "",
        "x".repeat(1_200_000),
      ];
      const kept: (string | null)[] = [];
      for (const [at, name] of names.entries()) {
        const accounts = Array.from({ length: 3_000 }, (_, n) => ({ mask: `${n}`, name: name.repeat(2) }));
        const options = { userId: `u_${at}`, institution: { ...institution, name }, accounts };
        const linked = value(await keeper.link(await stage.publicToken(), options));
        kept.push(value(await keeper.find(linked.item_id)).institution_name);
        const again = failure(await keeper.link(await stage.publicToken(), options));
        assert.deepEqual(again, { kind: "duplicate", of: [linked.item_id] });
      }
      assert.deepEqual(kept, ["FirstBank", "x".repeat(1_023), null, null, null, "x".repeat(1_024)]);
      assert.deepEqual(value(await keeper.recover()).open, []);
    });

    onStage(
      "whatever JSON a page sends, a link is made or refused, and nothing stays open",
      async (stage) => {
        const { reopen, publicToken, asked } = stage;
        const keeper = await reopen();
        const text = fc.oneof(fc.string({ unit: "binary" }), fc.string({ maxLength: 3_000 }), fc.jsonValue());
        const account = fc.oneof(fc.jsonValue(), fc.record({ mask: text, name: text }, { requiredKeys: [] }));
        const options = fc.record(
          {
            userId: text,
            linkToken: text,
            institution: fc.oneof(fc.jsonValue(), fc.record({ institution_id: text, name: text })),
            accounts: fc.oneof(fc.jsonValue(), fc.array(account)),
          },
          { requiredKeys: [] },
        );
        let links = 0;
        await fc.assert(
          fc.asyncProperty(options, async (given) => {
            const before = asked.filter((path) => path === exchangePath).length;
            const linked = await keeper
              .link(await publicToken(), { duplicates: "flag", ...(given as LinkOptions) })
              .catch((thrown: unknown) => {
                assert.ok(thrown instanceof TypeError);
                assert.equal(asked.filter((path) => path === exchangePath).length, before);
              });
            if (linked) links += value(linked).item_id ? 1 : 0;
          }),
          { numRuns: 60 },
        );
        assert.equal(value(await keeper.list({}, { limit: 1_000 })).items.length, links);
        const { open, underWay } = value(await keeper.recover());
        assert.deepEqual([open, underWay], [[], 0]);
        value((await reopen()).recovered);
      },
    );

    onStage("no other call takes what can be nobody's id", async (stage, keeper) => {
      await stage.link(keeper);
      const before = [stage.asked.length, await intents(keeper)];
      const note = { note: "n" };
      const seen = { kind: "updated", accountsSelected: false, at: 0 } as const;
      for (const one of [undefined, null, ...odd] as string[]) {
        const calls = [
          () => keeper.use(one, async () => 1),
          () => keeper.get(one),
          () => keeper.find(one),
          () => keeper.rotate(one),
          () => keeper.remove(one),
          () => keeper.updateWebhook(one, null),
          () => keeper.updateMode(one, linkRequest),
          () => keeper.observe(one, seen),
          () => keeper.abandon(one, note),
        ];
        for (const call of calls) await refuses(call, /^the item_id must be/);
        await refuses(() => keeper.forgetUser(one), /^the user_id must be/);
        await refuses(() => keeper.importItem(one), /^the access token must be/);
        if (one === undefined) continue;
        await refuses(() => keeper.list({ userId: one }), /^userId must be/);
        await refuses(() => keeper.list({ institutionId: one }), /^institutionId must be/);
        await refuses(() => keeper.sweep("audit", { selection: { userId: one } }), /^userId must be/);
        if (one === null) continue;
        await refuses(() => keeper.importItem("access-sandbox-1", { userId: one }), /^userId must be/);
      }
      await refuses(() => keeper.list({ states: "healthy" as never }), /^states must be/);
      await refuses(() => keeper.list({ tokenBefore: NaN }), /^tokenBefore must be/);
      await refuses(() => keeper.list({}, { after: "1.\0" }), /^`after` must be/);
      await refuses(() => keeper.rotate("item", { from: "1" as never }), /^from must be/);
      await refuses(() => keeper.importItems(undefined as never), /^the source must be/);
      assert.deepEqual([stage.asked.length, await intents(keeper)], before);
    });

    onStage("a webhook that cannot be kept is refused before Plaid has it", async (stage, keeper) => {
      const item_id = await stage.link(keeper);
      const before = [stage.asked.length, await intents(keeper)];
      // The URL parser would mend them, and so would Plaid; the database has them as they were given.
      for (const url of [
        "https://a.example/\0",
        "https://a.example/\ud800",
        `https://a.example/${"x".repeat(8_192)}`,
      ]) {
        await refuses(() => keeper.updateWebhook(item_id, url), /^the webhook must be/);
        await refuses(() => keeper.sweep("webhook", { webhook: url }), /^the webhook must be/);
      }
      assert.deepEqual([stage.asked.length, await intents(keeper)], before);
    });

    onStage("a row of an import that cannot be kept is a bad row", async (stage, keeper) => {
      const { item_id } = value(await keeper.link(await stage.publicToken()));
      const access_token = stage.sandbox.control.items.get(item_id).access_token!;
      const rows = [
        { access_token, user_id: `${secretly}\0` },
        { access_token, user_id: "\ud800" },
        { access_token, user_id: "x".repeat(256) },
        { access_token, item_id: "x".repeat(256) },
        { access_token: "x".repeat(1_025) },
        { access_token, user_id: 42 },
        { access_token, user_id: "x".repeat(255) },
      ];
      const went: unknown[] = [];
      const onRow = (outcome: { row: number }) =>
        void went.push([outcome.row, "reason" in outcome ? outcome.reason : ""]);
      const text = rows.map((row) => JSON.stringify(row)).join("\n");
      value(await keeper.importItems(chunks(text, 1_000), { onRow, concurrency: 1 }));
      assert.deepEqual(went, [
        [1, "not-text"],
        [2, "not-text"],
        [3, "too-long"],
        [4, "too-long"],
        [5, "too-long"],
        [6, "not-text"],
        [7, ""],
      ]);
    });

    onStage("whatever a webhook calls a session, its public token is linked", async (stage, keeper) => {
      const take = publicTokenTaker(
        () => ({ userId: "u_hosted" }),
        (token, options) => keeper.link(token, options),
      );
      for (const one of odd as string[]) {
        const public_token = await stage.publicToken();
        assert.equal(await take({ public_token, link_token: one, link_session_id: one }), true);
        assert.equal(await take({ public_token: one, link_token: one, link_session_id: one }), true);
      }
      assert.equal(value(await keeper.list({ userId: "u_hosted" })).items.length, odd.length);
    });
  });
}
