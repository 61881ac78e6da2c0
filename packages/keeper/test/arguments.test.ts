// What a browser, or a mistake, brings to the keeper's door: it is refused by name before anything is done, or it is kept;
// never does it stand in the way of what comes after it.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { publicTokenTaker } from "../src/hosted.ts";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import type { LinkOptions } from "../src/lifecycle/link.ts";
import { openKeeper } from "../src/open.ts";
import { localKeyRing, newKey } from "../src/vault/ring.ts";
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

/** As JavaScript sees it. */
type Loose = Readonly<Record<string, (...given: readonly unknown[]) => unknown>>;

/** A TypeError with the argument's name, and with nothing of its value. */
const refuses = (work: () => Promise<unknown>, said: RegExp) =>
  assert.rejects(work, (thrown) => {
    assert.ok(thrown instanceof TypeError, String(thrown));
    assert.match(thrown.message, said);
    assert.ok(!inspect(thrown).includes(secretly), "a value was told");
    return true;
  });

test("what cannot be right of a keeper's options is refused before anything is opened", async () => {
  const database = escrowFolder();
  const plaid = { clientId: "c", secret: secretly };
  const good = { plaid, database, keys: localKeyRing(newKey()) };
  const wrong: readonly (readonly [RegExp, object | undefined])[] = [
    [/^the options of openKeeper must be an object/, undefined],
    [/^the options of openKeeper cannot have `onProblm`; /, { ...good, onProblm: () => {} }],
    [/^plaid must be an object/, { ...good, plaid: undefined }],
    [/^plaid\.clientId must be/, { ...good, plaid: { secret: secretly } }],
    [/^plaid\.env must be/, { ...good, plaid: { ...plaid, env: secretly } }],
    [/^plaid\.post must be a function/, { ...good, plaid: { ...plaid, post: secretly } }],
    [/^plaid\.retries must be/, { ...good, plaid: { ...plaid, retries: secretly } }],
    [/^plaid cannot have `timeout`; /, { ...good, plaid: { ...plaid, timeout: 1 } }],
    [/^database must be/, { ...good, database: undefined }],
    [/^keys must be a key ring/, { ...good, keys: undefined }],
    [/^keys must be a key ring/, { ...good, keys: secretly }],
    [/^folder must be/, { ...good, folder: 5 }],
    [/^actor must be a text/, { ...good, actor: 5 }],
    ...["x", NaN, -1, Infinity].map(
      (ms) => [/^recoverEveryMs must/, { ...good, recoverEveryMs: ms }] as const,
    ),
    ...["x", NaN, -1].map((ms) => [/^patienceMs must/, { ...good, patienceMs: ms }] as const),
    ...["now", "mint", "wait", "at", "onRecovered", "onRefusal", "onProblem", "linkFromWebhooks"].map(
      (name) => [new RegExp(`^${name} must be a function`), { ...good, [name]: secretly }] as const,
    ),
    [/^files must be/, { ...good, files: {} }],
    [/^budget must be false, or an object/, { ...good, budget: true }],
    [/^budget cannot have `shares`; /, { ...good, budget: { shares: 0.1 } }],
    [/^share must be/, { ...good, budget: { share: "0.1" } }],
    [/^limits must be an object/, { ...good, budget: { limits: secretly } }],
    [/^a path of limits must be an endpoint's/, { ...good, budget: { limits: { "item/get": {} } } }],
    [/^\/item\/get: perItem must be/, { ...good, budget: { limits: { "/item/get": { perItem: "1" } } } }],
    [/ cannot have `perMin`; /, { ...good, budget: { limits: { "/item/get": { perMin: 1 } } } }],
  ];
  for (const [said, options] of wrong) await refuses(() => openKeeper(options as KeeperOptions), said);
  assert.ok(!existsSync(database));
});

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
    const intents = async ({ database }: Keeper) =>
      (await database.sql.selectFrom("intents").select("intent_id").execute()).length;

    const cursors = async ({ database }: Keeper) =>
      (await database.sql.selectFrom("cursors").select("subscriber").execute()).length;

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
        const twice = name.repeat(2);
        const accounts = Array.from({ length: 3_000 }, (_, n) => ({ mask: `${n}`, name: twice }));
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

    onStage("what is misspelt, left out or of another kind is refused by its name", async (stage, keeper) => {
      const id = await stage.link(keeper);
      const before = [stage.asked.length, await intents(keeper), await cursors(keeper)];
      const on = (method: string, ...given: readonly unknown[]) => [method, given] as const;
      const nobody = async function* () {};
      const wrong: readonly (readonly [RegExp, ReturnType<typeof on>])[] = [
        [/^the options of link must be an object/, on("link", "public-1", null)],
        [/^the options of link cannot have `userid`; /, on("link", "public-1", { userid: "u" })],
        [/^the options of importItem must be/, on("importItem", "access-1", secretly)],
        [/^the options of importItem cannot have `user`; /, on("importItem", "access-1", { user: "u" })],
        [/^the options of importItems must be an object/, on("importItems", nobody(), null)],
        [/^the options of importItems cannot have `forma`; /, on("importItems", nobody(), { forma: "csv" })],
        [/^format must be one of csv, jsonl/, on("importItems", nobody(), { format: secretly })],
        [/^concurrency must be/, on("importItems", nobody(), { concurrency: 0 })],
        [/^onRow must be a function/, on("importItems", nobody(), { onRow: secretly })],
        [/^signal must be an AbortSignal/, on("importItems", nobody(), { signal: secretly })],
        [/^an export must be an object/, on("exportItems")],
        [/^actor must be a text/, on("exportItems", { actor: 5 })],
        [/^onProgress must be a function/, on("exportItems", { onProgress: secretly })],
        [/^the reason must be an object/, on("abandon", id)],
        [/^the reason cannot have `text`; /, on("abandon", id, { note: "n", text: "t" })],
        [/^the note must be a text/, on("abandon", id, {})],
        [/^the options of prune must be an object/, on("prune")],
        [/^the options of prune cannot have `dryrun`; /, on("prune", { before: 0, dryrun: true })],
        [/^before must be a time/, on("prune", {})],
        [/^dryRun must be a boolean/, on("prune", { before: 0, dryRun: 0 })],
        [/^signal must be an AbortSignal/, on("prune", { before: 0, signal: {} })],
        [/^the work must be a function/, on("use", id)],
        [/^the options of rotate must be an object/, on("rotate", id, 1)],
        [/^the options of rotate cannot have `form`; /, on("rotate", id, { form: 1 })],
        [/^the webhook must be/, on("updateWebhook", id)],
        [/^the reason must be an object/, on("remove", id, secretly)],
        [/^the reason cannot have `reason`; /, on("remove", id, { reason: secretly })],
        [/^reason_code must be/, on("remove", id, { reason_code: secretly })],
        [/^the request must be an object/, on("updateMode", id)],
        [/^client_name must be/, on("updateMode", id, {})],
        [/^the choices must be an object/, on("updateMode", id, linkRequest, null)],
        [/^the choices cannot have `even`; /, on("updateMode", id, linkRequest, { even: true })],
        [/^evenIfHealthy must be a boolean/, on("updateMode", id, linkRequest, { evenIfHealthy: "no" })],
        [/^an observation must be an object/, on("observe", id)],
        [/^kind must be one of webhook, answer, /, on("observe", id, { kind: secretly, at: 0 })],
        [/^accountsSelected must be a boolean/, on("observe", id, { kind: "updated", at: 0 })],
        [/^at must be a time/, on("observe", id, { kind: "refused", error_code: "E", at: NaN })],
        [/^answer\.item must be an Item/, on("observe", id, { kind: "answer", answer: {}, at: 0 })],
        [/^webhook\.webhook_type must be/, on("observe", id, { kind: "webhook", webhook: {} })],
        [/^the request must be a Request/, on("receive", { method: "POST", headers: {} })],
        [/^the name of a subscriber must be a text/, on("subscribe", () => {})],
        [/^the handler must be a function/, on("subscribe", "a")],
        [/^from must be one of beginning, now/, on("subscribe", "a", () => {}, { from: secretly })],
        [/^the options of subscribe cannot have `form`; /, on("subscribe", "a", () => {}, { form: "now" })],
        [/^a sweep must be an object/, on("sweep", "audit", null)],
        [/^dryRun must be a boolean/, on("sweep", "audit", { dryRun: secretly })],
        [/^the reason must be an object/, on("sweep", "remove", { reason: secretly })],
        [/^the options of a list cannot have `limt`; /, on("sweeps.list", { limt: 1 })],
        [/^limit must be/, on("sweeps.list", { limit: secretly })],
        ...["status", "pause", "resume", "cancel", "rollback", "report"].flatMap((method) =>
          [undefined, secretly, {}].map(
            (sweepId) => [/^the sweep_id must be/, on(`sweeps.${method}`, sweepId)] as const,
          ),
        ),
        [/^the options of a worker must be an object/, on("sweeps.work", null)],
        [/^the options of a worker cannot have `inflight`; /, on("sweeps.work", { inflight: 1 })],
        [/^leaseMs must be/, on("sweeps.work", { leaseMs: secretly })],
        [/^attempts must be/, on("sweeps.work", { attempts: 0 })],
        [/^pollMs must be/, on("sweeps.work", { pollMs: 2 ** 31 })],
      ];
      for (const [said, [method, given]] of wrong) {
        const [name, of] = method.split(".").reverse() as [string, string?];
        const target = (of === undefined ? keeper : keeper.sweeps) as unknown as Loose;
        await refuses(async () => target[name]!(...given), said);
      }
      assert.deepEqual([stage.asked.length, await intents(keeper), await cursors(keeper)], before);
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

    onStage("a clock may give fractions, and so may whoever has seen something of an Item", async (stage) => {
      const { clock, reopen, publicToken } = stage;
      const keeper = await reopen({ now: () => clock.now() + 0.75 });
      const { item_id, linked_at } = value(await keeper.link(await publicToken(), { userId: "u" }));
      assert.equal(linked_at, clock.now());
      value(await keeper.use(item_id, async () => 1));
      value(await keeper.rotate(item_id));
      const answer = value(await keeper.get(item_id));
      await clock.advance(1_000);
      const at = clock.now() + 0.25;
      value(await keeper.observe(item_id, { kind: "answer", answer, at }));
      assert.equal(value(await keeper.find(item_id)).checked_at, clock.now());
      const webhook = { webhook_type: "ITEM", webhook_code: "LOGIN_REPAIRED", item_id } as const;
      const iatSeconds = at / 1_000 + 0.3;
      value(await keeper.observe(item_id, { kind: "webhook", webhook, iatSeconds, receivedAt: at } as never));
      value(await keeper.remove(item_id));
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
