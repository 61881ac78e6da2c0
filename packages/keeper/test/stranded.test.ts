// What becomes of an Item whose token seems to be gone: it is asked about from time to time, it is whole when somebody
// brings a token that works, and a person may give it up. And a rotation that may be asked for again.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Keeper } from "../src/keeper.ts";
import { arrive, nothingKnown } from "../src/lifecycle/arrival.ts";
import type { ForSupport } from "../src/lifecycle/failure.ts";
import type { Means } from "../src/lifecycle/means.ts";
import type { ReportRow } from "../src/sweep/report.ts";
import { reencrypt } from "../src/vault/reencrypt.ts";
import { keeperStage, type Stage } from "./keeper-stage.ts";
import { failure, institution, open, rotationOf, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { quick, reported, until } from "./sweep-world.ts";

const { places, escrowFolder } = testPlaces("stranded");
const HOUR = 3_600_000;
const rotatePath = "/item/access_token/invalidate";

for (const [name, empty] of Object.entries(places)) {
  describe(`stranded: ${name}`, () => {
    const onStage = (title: string, play: (stage: Stage & { url: string }) => Promise<void>) => {
      test(title, async () => {
        const url = await empty();
        const stage = await keeperStage(url, escrowFolder());
        try {
          await play({ ...stage, url });
        } finally {
          await stage.close();
        }
      });
    };
    /** The rotation's answer is lost, and with `falsely` Plaid had not made it, though it says so once. */
    const strand = async ({ sandbox }: Stage, keeper: Keeper, item_id: string, falsely = false) => {
      sandbox.control.faults.add({ path: rotatePath, then: falsely ? "reset" : "drop-after-commit" });
      if (falsely) sandbox.control.faults.add({ path: "/item/get", then: "INVALID_ACCESS_TOKEN" });
      assert.equal(failure(await keeper.rotate(item_id)).kind, "stranded");
    };
    const removePath = "/item/remove";
    /** What is sent to Plaid's support, whoever asks for the Item, and however much later. */
    const onlySupport = async ({ clock }: Stage, keeper: Keeper, item_id: string): Promise<ForSupport> => {
      await clock.advance(40 * 24 * HOUR);
      const worker = keeper.sweeps.work(quick);
      const rows: ReportRow[] = [];
      for (const operation of ["rotate", "audit"] as const) {
        const { sweep_id } = value(await keeper.sweep(operation));
        await until(keeper, sweep_id);
        rows.push(...(await reported(keeper, sweep_id)));
      }
      await worker.close();
      const said = [
        await keeper.get(item_id),
        await keeper.rotate(item_id),
        await keeper.remove(item_id),
        await keeper.updateWebhook(item_id, null),
      ].map((result) => {
        const why = failure(result);
        assert.ok(why.kind === "stranded");
        return { request_id: why.request_id, support: why.support };
      });
      for (const { request_id, todo } of rows) {
        assert.equal(request_id, said[0]!.request_id);
        assert.ok(todo?.includes(said[0]!.support), `${todo}`);
      }
      assert.equal(new Set(said.map((one) => JSON.stringify(one))).size, 1, JSON.stringify(said));
      return said[0]!;
    };

    onStage("what Plaid's support is told names the answer that was lost, for ever", async (stage) => {
      const { clock, reopen, link } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      await clock.advance(HOUR);
      const at = new Date(clock.now()).toISOString();
      await strand(stage, keeper, item_id);
      const { request_id, support } = await onlySupport(stage, keeper, item_id);
      assert.ok(request_id && support.includes(request_id));
      assert.ok(support.includes(`/item/access_token/invalidate at about ${at} did not reach us`), support);
    });

    onStage("where no answer was lost Plaid's support is not told that one was", async (stage) => {
      const { sandbox, clock, reopen, link } = stage;
      const { faults } = sandbox.control;
      for (const path of [rotatePath, removePath]) {
        const keeper = await reopen();
        const item_id = await link(keeper);
        await clock.advance(HOUR);
        const at = new Date(clock.now()).toISOString();
        for (const called of [path, "/item/get"]) faults.add({ path: called, then: "INVALID_ACCESS_TOKEN" });
        const ended = path === rotatePath ? await keeper.rotate(item_id) : await keeper.remove(item_id);
        const why = failure(ended);
        assert.ok(why.kind === "stranded");
        assert.ok(why.support.includes(at) && why.support.includes("is refused"), why.support);
        assert.doesNotMatch(why.support, /did not reach us/);
        assert.equal(failure(await keeper.get(item_id)).kind, "stranded");
      }
    });

    onStage("an answer was lost, too, where the second attempt got one", async (stage) => {
      const { sandbox, reopen, link } = stage;
      const { faults } = sandbox.control;
      let answers = 0;
      const keeper = await reopen({
        at: (step) => {
          if (step === "rotate: answered" && ++answers === 2)
            faults.add({ path: "/item/get", then: "INVALID_ACCESS_TOKEN" });
          return undefined;
        },
      });
      const item_id = await link(keeper);
      faults.add({ path: rotatePath, then: "reset" });
      faults.add({ path: rotatePath, then: "INVALID_ACCESS_TOKEN" });
      const why = failure(await keeper.rotate(item_id));
      assert.equal(answers, 2);
      assert.ok(why.kind === "stranded" && /did not reach us/.test(why.support));
    });

    const asks = ({ asked }: Stage) => asked.filter((path) => path === "/item/get").length;

    onStage(
      "a token that works after all makes the Item whole, as it is and not as it was",
      async (stage) => {
        const { sandbox, clock, reopen, link, events } = stage;
        let keeper = await reopen();
        const item_id = await link(keeper);
        await strand(stage, keeper, item_id, true);
        sandbox.control.webhooks.hold();
        sandbox.control.items.loginRequired(item_id);
        await clock.advance(HOUR);
        const recovery = value(await keeper.recover());
        assert.deepEqual(recovery.restored, [item_id]);
        keeper = await reopen();
        assert.equal(value(await keeper.find(item_id)).state, "login_required", "asked, not assumed");
        const kinds = (await events(keeper, item_id)).map(({ kind }) => kind);
        assert.ok(kinds.includes("item.restored"));
        const open = await keeper.database.sql
          .selectFrom("intents")
          .select("outcome")
          .where("item_id", "=", item_id)
          .where("kind", "=", "rotate")
          .execute();
        assert.deepEqual(open, [{ outcome: "not-done" }]);
        assert.equal(value(await keeper.rotate(item_id)).token_version, 2);
        assert.deepEqual(await violations(sandbox, keeper, { removals: new Set() }), []);
      },
    );

    onStage(
      "an attempt that comes to Plaid late, after its token was seen alive, is found out by the next, whichever code that gets",
      async ({ sandbox, clock, reopen, link, plaid, url }) => {
        for (const rotatedToken of ["INVALID_ACCESS_TOKEN", "ITEM_NOT_FOUND"] as const) {
          sandbox.control.switches.set({ rotatedToken });
          const item_id = await link(await reopen());
          let attempts = 0;
          const post: typeof plaid.post = async (...asked) => {
            if (asked[0].endsWith(rotatePath)) {
              attempts++;
              if (attempts === 1) throw new Error("the line broke");
              if (attempts === 2) await sandbox.post(...asked); // what was under way all the time
            }
            return sandbox.post(...asked);
          };
          const keeper = await open(url, escrowFolder(), { ...plaid, post }, { now: clock.now });
          assert.equal(failure(await keeper.rotate(item_id)).kind, "stranded", rotatedToken);
          assert.equal(attempts, 2);
          assert.equal(value(await keeper.find(item_id)).state, "stranded");
          await keeper.close();
        }
      },
    );

    onStage("one that cannot be asked about keeps no other from being whole again", async (stage) => {
      const { clock, reopen, link } = stage;
      const keeper = await reopen();
      const ids = [await link(keeper), await link(keeper), await link(keeper)].toSorted();
      for (const item_id of ids) await strand(stage, keeper, item_id, true);
      await keeper.database.sql
        .updateTable("items")
        .set({ token: Buffer.alloc(100, 1) })
        .where("item_id", "=", ids[0]!)
        .execute();
      await clock.advance(HOUR);
      const { restored, open } = value(await keeper.recover());
      assert.deepEqual(restored, ids.slice(1));
      assert.deepEqual(
        open.map(({ kind }) => kind),
        ["vault"],
      );
    });

    onStage("a removal that was asked for is done, once the token works after all", async (stage) => {
      const { sandbox, clock, reopen, link, events } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      for (const path of ["/item/remove", "/item/get"])
        sandbox.control.faults.add({ path, then: "INVALID_ACCESS_TOKEN" });
      assert.equal(failure(await keeper.remove(item_id)).kind, "stranded");
      await clock.advance(HOUR);
      assert.deepEqual(value(await keeper.recover()).restored, [item_id]);
      assert.equal(value(await keeper.find(item_id)).state, "removing");
      assert.equal(failure(await keeper.use(item_id, async () => 1)).kind, "removing");
      assert.equal(value(await keeper.recover()).finished, 1);
      assert.equal(value(await keeper.find(item_id)).state, "removed");
      assert.notEqual(sandbox.control.items.get(item_id).removed_at, null);
      const steps = (await events(keeper, item_id)).flatMap(({ kind, detail }) =>
        detail["to"] === undefined ? [] : [[kind, detail["from"], detail["to"]]],
      );
      assert.deepEqual(steps, [
        ["item.removing", "healthy", "removing"],
        ["item.stranded", "removing", "stranded"],
        ["item.restored", "stranded", "removing"],
        ["item.removed", "removing", "removed"],
      ]);
    });

    /** A removal that ends as stranded, though the token works. */
    const strandRemoval = async ({ sandbox }: Stage, keeper: Keeper, item_id: string) => {
      for (const path of [removePath, "/item/get"])
        sandbox.control.faults.add({ path, then: "INVALID_ACCESS_TOKEN" });
      const reason = { reason_code: "OTHER", reason_note: "moved away" } as const;
      assert.equal(failure(await keeper.remove(item_id, reason)).kind, "stranded");
    };
    const keptReasons = async ({ database }: Keeper) =>
      (await database.sql.selectFrom("intents").selectAll().execute()).filter(
        ({ detail }) => detail !== null,
      );

    onStage("a removal that is gone on with says its reason still, sealed anew meanwhile", async (stage) => {
      const { clock, link, plaid, url } = stage;
      const reasons: unknown[] = [];
      const post: typeof plaid.post = (at, body, ...more) => {
        if (at.endsWith(removePath))
          reasons.push((JSON.parse(String(body)) as Record<string, unknown>)["reason_note"]);
        return plaid.post!(at, body, ...more);
      };
      const keeper = await open(url, escrowFolder(), { ...plaid, post }, { now: clock.now });
      const item_id = await link(keeper);
      await strandRemoval(stage, keeper, item_id);
      const { database, vault } = keeper;
      const before = value(await vault.keys()).filter(({ purpose }) => purpose === "seal");
      value(await vault.newEpoch());
      await clock.advance(HOUR / 2);
      for (const { key_id } of before) assert.equal(failure(await vault.retire(key_id)).kind, "in-use");
      value(await reencrypt(vault, database));
      for (const { key_id } of before) value(await vault.retire(key_id));
      await clock.advance(HOUR / 2);
      assert.deepEqual(value(await keeper.recover()).restored, [item_id]);
      assert.equal(value(await keeper.recover()).finished, 1);
      assert.equal(value(await keeper.find(item_id)).state, "removed");
      assert.deepEqual(reasons, ["moved away", "moved away"]);
      assert.deepEqual(await keptReasons(keeper), []);
      await keeper.close();
    });

    for (const [how, end] of Object.entries({
      "given up": (_: Stage, keeper: Keeper, item_id: string) =>
        keeper.abandon(item_id, { note: "ticket 7" }),
      "brought back": ({ sandbox }: Stage, keeper: Keeper, item_id: string) =>
        keeper.importItem(sandbox.control.items.get(item_id).access_token!),
    }))
      onStage(`the reason of a stranded removal goes when the Item is ${how}`, async (stage) => {
        const keeper = await stage.reopen();
        const item_id = await stage.link(keeper);
        await strandRemoval(stage, keeper, item_id);
        assert.equal((await keptReasons(keeper)).length, 1);
        value(await end(stage, keeper, item_id));
        assert.deepEqual(await keptReasons(keeper), []);
      });

    onStage("nor is it where a clock was put back before the next misfortune", async (stage) => {
      const { sandbox, clock, reopen, link, plaid, url } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      await strandRemoval(stage, keeper, item_id);
      value(await keeper.importItem(sandbox.control.items.get(item_id).access_token!));
      const late = await open(url, escrowFolder(), plaid, { now: () => clock.now() - 3 * HOUR });
      await strand(stage, late, item_id, true);
      await late.close();
      await clock.advance(2 * HOUR);
      assert.deepEqual(value(await keeper.recover()).restored, [item_id]);
      value(await keeper.recover());
      assert.equal(value(await keeper.find(item_id)).state, "healthy");
      assert.equal(sandbox.control.items.get(item_id).removed_at, null);
    });

    onStage("a removal from before the bank was linked again is not", async (stage) => {
      const { sandbox, clock, reopen, link } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      for (const path of ["/item/remove", "/item/get"])
        sandbox.control.faults.add({ path, then: "INVALID_ACCESS_TOKEN" });
      assert.equal(failure(await keeper.remove(item_id)).kind, "stranded");
      value(await keeper.importItem(sandbox.control.items.get(item_id).access_token!));
      await clock.advance(HOUR);
      await strand(stage, keeper, item_id, true);
      await clock.advance(2 * HOUR);
      assert.deepEqual(value(await keeper.recover()).restored, [item_id]);
      value(await keeper.recover());
      assert.equal(value(await keeper.find(item_id)).state, "healthy");
    });

    onStage("it is asked about ever less often, and by one keeper of several", async (stage) => {
      const { clock, reopen, link, plaid, url } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      await strand(stage, keeper, item_id);
      const other = await open(url, escrowFolder(), plaid, { now: clock.now });
      const askedIn: number[] = [];
      for (let hour = 0; hour <= 100; hour++) {
        const before = asks(stage);
        const recoveries = await Promise.all([keeper.recover(), other.recover(), keeper.recover()]);
        for (const recovery of recoveries) assert.deepEqual(value(recovery).restored, []);
        const times = asks(stage) - before;
        assert.ok(times <= 1);
        if (times === 1) askedIn.push(hour);
        await clock.advance(HOUR);
      }
      assert.deepEqual(askedIn, [1, 3, 7, 15, 31, 55, 79]);
      assert.equal(value(await keeper.find(item_id)).state, "stranded");
      await other.close();
    });

    onStage("an Item that is brought back is asked how it is", async (stage) => {
      const { sandbox, clock, reopen, link } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      await strand(stage, keeper, item_id);
      await clock.advance(1_000);
      sandbox.control.webhooks.hold();
      sandbox.control.items.loginRequired(item_id);
      const token = sandbox.control.items.get(item_id).access_token!;
      const back = value(await keeper.importItem(token));
      assert.deepEqual([back.state, back.token_version], ["login_required", 2]);
      assert.equal(value(await keeper.find(item_id)).error_code, "ITEM_LOGIN_REQUIRED");
    });

    onStage(
      "a person may give it up: then its user can be forgotten, and the row says how it was",
      async (stage) => {
        const { sandbox, reopen, publicToken, events } = stage;
        const keeper = await reopen();
        const userId = "u_stranded";
        const { item_id } = value(await keeper.link(await publicToken(), { userId }));
        const early = failure(await keeper.abandon(item_id, { note: "no reason" }));
        assert.equal(early.kind, "not-stranded");
        assert.equal(failure(await keeper.abandon("nobody", { note: "x" })).kind, "unknown-item");
        await strand(stage, keeper, item_id);
        assert.equal(failure(await keeper.forgetUser(userId)).kind, "live-items");
        for (const note of ["", "  ", "x".repeat(513)])
          await assert.rejects(keeper.abandon(item_id, { note }), TypeError);

        const gone = value(await keeper.abandon(item_id, { note: "support removed it, ticket 7" }));
        assert.equal(gone.state, "removed");
        assert.equal(value(await keeper.abandon(item_id, { note: "again" })).state, "removed");
        assert.deepEqual(value(await keeper.forgetUser(userId)), { items: 1 });
        const row = await keeper.database.sql
          .selectFrom("items")
          .select(["token", "key_id"])
          .where("item_id", "=", item_id)
          .executeTakeFirstOrThrow();
        assert.deepEqual(row, { token: null, key_id: null });
        const last = (await events(keeper, item_id)).at(-1)!;
        assert.equal(last.kind, "item.abandoned");
        assert.deepEqual(last.detail, {
          from: "stranded",
          to: "removed",
          confirmed: false,
          note: "support removed it, ticket 7",
        });
        assert.equal(value(await keeper.remove(item_id)).state, "removed");
        assert.equal(sandbox.control.items.get(item_id).removed_at, null, "nobody could remove it");
        assert.deepEqual(value(await keeper.recover()).bad, []);
      },
    );

    onStage("a token that turns up for an Item that was given up is kept, and said", async (stage) => {
      const { sandbox, clock, reopen, link, events } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      await strand(stage, keeper, item_id);
      value(await keeper.abandon(item_id, { note: "nobody answers" }));
      // As a host brings it in that was away all the time, with the answer in its escrow.
      const { database, vault } = keeper;
      const { intent_id, fence } = await rotationOf(keeper, item_id);
      const access_token = sandbox.control.items.get(item_id).access_token!;
      const place = { purpose: "token", subject: item_id } as const;
      const sealed = value(await vault.seal(Buffer.from(access_token), place));
      const means = { database, environment: "sandbox", now: clock.now } as unknown as Means;
      const of = { kind: "rotate", item_id, intent_id, request_id: null, from_version: 1 } as const;
      const given = { ...of, fence: fence ?? 0, access_token, about: nothingKnown };
      for (const time of ["first", "second"]) {
        const back = value(await arrive(means, given, sealed));
        assert.deepEqual([back.state, back.token_version, back.removed_at], ["healthy", 2, null], time);
      }
      value(await keeper.get(item_id));
      const last = (await events(keeper, item_id)).filter(({ kind }) => kind === "item.rotated");
      assert.deepEqual(
        last.map(({ detail }) => detail),
        [{ token_version: 2, from: "removed", to: "healthy" }],
      );
    });

    for (const how of ["stranded", "given up", "given up, and its user forgotten"])
      onStage(`an Item that was ${how} is whose the new link says`, async (stage) => {
        const { sandbox, reopen, publicToken } = stage;
        sandbox.control.switches.set({ secondExchange: "same-token" });
        const keeper = await reopen();
        const token = await publicToken();
        const accounts = [{ mask: "0000", name: "Checking" }];
        const old = { userId: "u_old", institution, accounts };
        const { item_id } = value(await keeper.link(token, old));
        await strand(stage, keeper, item_id);
        if (how !== "stranded") value(await keeper.abandon(item_id, { note: "nobody answers" }));
        if (how === "given up, and its user forgotten") value(await keeper.forgetUser("u_old"));

        const bank = { ...institution, name: "The same bank, renamed" };
        const again = { userId: "u_new", institution: bank, accounts };
        const back = value(await keeper.link(token, again));
        assert.deepEqual([back.item_id, back.state, back.user_id], [item_id, "healthy", "u_new"]);
        assert.equal(value(await keeper.find(item_id)).institution_name, bank.name);
        assert.equal(failure(await keeper.forgetUser("u_new")).kind, "live-items");
        value(await keeper.forgetUser("u_old"));
        const rows = await keeper.database.sql.selectFrom("fingerprints").select("item_id").execute();
        assert.deepEqual(rows, [{ item_id }], "its accounts are the new user's alone");
        const twice = failure(await keeper.link(await publicToken(), again));
        assert.deepEqual(twice, { kind: "duplicate", of: [item_id] });
        const other = { ...again, accounts: [{ mask: "1111", name: "Savings" }] };
        value(await keeper.link(await publicToken(), other));
      });

    onStage("a new link that names nobody leaves an Item its user", async (stage) => {
      const { sandbox, reopen, publicToken } = stage;
      sandbox.control.switches.set({ secondExchange: "same-token" });
      const keeper = await reopen();
      const token = await publicToken();
      const { item_id } = value(await keeper.link(token, { userId: "u_old", institution }));
      await strand(stage, keeper, item_id);
      const back = value(await keeper.link(token));
      assert.deepEqual([back.item_id, back.state, back.user_id], [item_id, "healthy", "u_old"]);
      assert.equal(back.institution_id, institution.institution_id);
    });

    onStage("a lost exchange keeps nobody from being forgotten", async ({ sandbox, reopen, publicToken }) => {
      const keeper = await reopen();
      sandbox.control.faults.add({ path: "/item/public_token/exchange", then: "drop-after-commit" });
      const lost = await keeper.link(await publicToken(), { userId: "u_lost" });
      assert.equal(failure(lost).kind, "lost");
      assert.deepEqual(value(await keeper.forgetUser("u_lost")), { items: 0 });
    });

    onStage("a rotation from a token that is no longer the Item's never calls Plaid", async (stage) => {
      const { reopen, link, asked } = stage;
      const keeper = await reopen();
      const item_id = await link(keeper);
      assert.equal(value(await keeper.rotate(item_id, { from: 1 })).token_version, 2);
      const before = asked.length;
      for (const from of [1, 0, 3]) {
        assert.equal(value(await keeper.rotate(item_id, { from })).token_version, 2);
      }
      assert.equal(asked.length, before);
      assert.equal(value(await keeper.rotate(item_id, { from: 2 })).token_version, 3);
    });

    onStage("of many who ask for the same rotation at once, one makes it", async (stage) => {
      const { clock, reopen, link, asked, plaid, url, sandbox } = stage;
      const keeper = await reopen();
      const other = await open(url, escrowFolder(), plaid, { now: clock.now });
      const item_id = await link(keeper);
      const results = await Promise.all(
        Array.from({ length: 12 }, (_, n) => (n % 2 ? keeper : other).rotate(item_id, { from: 1 })),
      );
      for (const result of results) assert.equal(value(result).token_version, 2);
      assert.equal(asked.filter((path) => path === rotatePath).length, 1);
      assert.deepEqual(await violations(sandbox, keeper, { removals: new Set() }), []);
      await other.close();
    });
  });
}
