// What the keeper's door promises, over whichever database.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { createSandbox, type FaultEffect, type Sandbox } from "@sett/sandbox";
import { Item, Link, unwrap, type Config } from "sett";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import { linkRequest } from "./keeper-stage.ts";
import {
  configFor,
  failure,
  institution,
  open,
  paths,
  publicToken,
  value,
  violations,
} from "./lifecycle-world.ts";

export interface Place {
  readonly name: string;
  /** A place where there is no database of ours yet, and a folder for the escrow. */
  empty(): Promise<{ url: string; folder: string }>;
}

const faults: readonly FaultEffect[] = [
  "ITEM_LOGIN_REQUIRED",
  "INVALID_ACCESS_TOKEN",
  "INVALID_PUBLIC_TOKEN",
  "ITEM_NOT_FOUND",
  "RATE_LIMIT",
  "INTERNAL_SERVER_ERROR",
  "PLANNED_MAINTENANCE",
  "INVALID_API_KEYS",
  { status: 403 },
  { status: 502 },
  { status: 200 },
  "garbage",
  "reset",
  "drop-after-commit",
  "hang",
];

const named = (effect: FaultEffect) => (typeof effect === "string" ? effect : JSON.stringify(effect));

export function lifecycleContract(place: Place): void {
  describe(`a keeper: ${place.name}`, () => {
    let sandbox: Sandbox;
    let plaid: Config;
    let url: string;
    let folder: string;
    let keeper: Keeper;
    const removals = new Set<string>();
    const another = (more: Partial<KeeperOptions> = {}, config: Partial<Config> = {}) =>
      open(url, folder, { ...plaid, ...config }, more);
    const linkOne = async (of: Keeper = keeper) => value(await of.link(await publicToken(plaid))).item_id;
    const remove = (itemId: string, of: Keeper = keeper) => {
      removals.add(itemId);
      return of.remove(itemId);
    };
    const law = async () => assert.deepEqual(await violations(sandbox, keeper, { removals }), []);
    const events = async (itemId: string) =>
      (
        await keeper.database.sql
          .selectFrom("events")
          .select(["kind", "detail"])
          .where("item_id", "=", itemId)
          .orderBy("seq")
          .execute()
      ).map(({ kind }) => kind);

    before(async () => {
      sandbox = await createSandbox();
      plaid = configFor(sandbox);
      ({ url, folder } = await place.empty());
      keeper = await another();
    });
    after(async () => {
      await keeper.close();
      await sandbox.close();
    });

    test("a whole life", async () => {
      const item = value(await keeper.link(await publicToken(plaid), { userId: "u_1", institution }));
      const { item_id } = item;
      assert.equal(item.state, "healthy");
      assert.equal(item.institution_name, institution.name);
      assert.deepEqual(item.duplicates, []);
      assert.equal(value(await keeper.get(item_id)).item.item_id, item_id);
      const before = sandbox.control.items.get(item_id).access_token;
      const rotated = value(await keeper.rotate(item_id));
      assert.equal(rotated.token_version, 2);
      assert.notEqual(sandbox.control.items.get(item_id).access_token, before);
      const moved = value(await keeper.updateWebhook(item_id, "http://127.0.0.1:9/plaid"));
      assert.equal(moved.webhook, "http://127.0.0.1:9/plaid");
      assert.equal(value(await keeper.updateWebhook(item_id, null)).webhook, null);
      const token = value(await keeper.use(item_id, async (access_token) => access_token));
      assert.equal(token, sandbox.control.items.get(item_id).access_token);
      const removed = value(await remove(item_id));
      assert.equal(removed.state, "removed");
      assert.notEqual(sandbox.control.items.get(item_id).removed_at, null);
      assert.equal(value(await remove(item_id)).state, "removed", "asked again, it is done");
      assert.equal(failure(await keeper.get(item_id)).kind, "removed");
      assert.equal(failure(await keeper.rotate(item_id)).kind, "removed");
      assert.equal(value(await keeper.find(item_id)).state, "removed");
      assert.equal(failure(await keeper.get("nobody")).kind, "unknown-item");
      assert.equal(failure(await keeper.rotate("nobody")).kind, "unknown-item");
      assert.deepEqual(await events(item_id), [
        "item.linked",
        "item.rotated",
        "item.webhook_moved",
        "item.webhook_moved",
        "item.removing",
        "item.removed",
      ]);
      const { n } = await keeper.database.sql
        .selectFrom("intents")
        .select((row) => row.fn.countAll().as("n"))
        .where("settled_at", "is", null)
        .executeTakeFirstOrThrow();
      assert.equal(Number(n), 0);
      await law();
    });

    test("the programmer's mistakes throw, and leave nothing behind", async () => {
      const item_id = await linkOne();
      await assert.rejects(keeper.link(""), TypeError);
      await assert.rejects(keeper.updateWebhook(item_id, "not a url"), TypeError);
      await assert.rejects(keeper.remove(item_id, { reason_note: "x".repeat(513) }), TypeError);
      assert.equal(value(await keeper.find(item_id)).state, "healthy");
    });

    test("the same login a second time is refused before its token is spent, or flagged", async () => {
      const accounts = [{ mask: "0000", name: "Plaid Checking" }];
      const options = { userId: "u_2", institution, accounts };
      const first = value(await keeper.link(await publicToken(plaid), options));
      const again = await publicToken(plaid);
      assert.deepEqual(failure(await keeper.link(again, options)), {
        kind: "duplicate",
        of: [first.item_id],
      });
      const other = { ...options, accounts: [{ mask: "4444", name: "Plaid Savings" }] };
      const second = value(await keeper.link(await publicToken(plaid), other));
      assert.deepEqual(second.duplicates, [], "other accounts at the same bank are another login");
      assert.equal(failure(await keeper.link(again, { userId: "u_2", institution })).kind, "duplicate");
      const flagged = value(await keeper.link(again, { ...options, duplicates: "flag" }));
      assert.deepEqual(flagged.duplicates, [first.item_id]);
      value(await keeper.link(await publicToken(plaid), { ...options, userId: "u_3" }));
      value(await remove(first.item_id));
      value(await remove(flagged.item_id));
      value(await keeper.link(await publicToken(plaid), options));
    });

    test("an Item that the application held is taken over, once", async () => {
      const { access_token, item_id } = unwrap(
        await Item.exchangePublicToken(await publicToken(plaid), plaid),
      );
      sandbox.control.items.loginRequired(item_id);
      const taken = value(await keeper.importItem(access_token, { userId: "u_import" }));
      assert.deepEqual(
        [taken.item_id, taken.state, taken.error_code, taken.institution_id, taken.user_id],
        [item_id, "login_required", "ITEM_LOGIN_REQUIRED", institution.institution_id, "u_import"],
      );
      assert.ok(taken.created_at);
      value(await keeper.rotate(item_id));
      assert.equal(failure(await keeper.importItem(access_token)).kind, "plaid", "the old token is dead");
      const now = value(await keeper.use(item_id, async (token) => token));
      assert.equal(value(await keeper.importItem(now)).token_version, 2);
      assert.deepEqual(await events(item_id), ["item.imported", "item.rotated"]);
      await law();
    });

    test("an Item that was rotated past the keeper takes over the token that works, its own being dead", async () => {
      const { item_id } = value(await keeper.link(await publicToken(plaid)));
      const own = value(await keeper.use(item_id, async (token) => token));
      const { new_access_token } = unwrap(await Item.invalidateAccessToken(own, plaid));
      const taken = value(await keeper.importItem(new_access_token));
      assert.deepEqual([taken.item_id, taken.token_version, taken.state], [item_id, 2, "healthy"]);
      assert.equal(value(await keeper.use(item_id, async (token) => token)), new_access_token);
      assert.equal(value(await keeper.importItem(new_access_token)).token_version, 2, "once");
      assert.deepEqual(await events(item_id), ["item.linked", "item.imported"]);
      await law();
    });

    test("a user is forgotten when no Item of theirs is left", async () => {
      const userId = "u_forgotten";
      const { item_id } = value(await keeper.link(await publicToken(plaid), { userId }));
      assert.deepEqual(failure(await keeper.forgetUser(userId)), { kind: "live-items", items: [item_id] });
      value(await remove(item_id));
      assert.deepEqual(value(await keeper.forgetUser(userId)), { items: 1 });
      assert.equal(value(await keeper.find(item_id)).user_id, null);
      for (const table of ["items", "intents", "events"] as const) {
        const rows = await keeper.database.sql.selectFrom(table).selectAll().execute();
        assert.ok(!JSON.stringify(rows).includes(userId), table);
      }
    });

    for (const effect of faults) {
      for (const what of ["exchange", "rotate", "remove", "webhook"] as const) {
        test(`${what} x ${named(effect)}`, async () => {
          // One that hangs is given up soon; a deadline for all else would make a slow machine a fault.
          const patient = effect === "hang" ? { timeoutMs: 60 } : {};
          const mine = await another({}, patient);
          try {
            const item_id = await linkOne();
            const given = await publicToken(plaid);
            // Once, or for as long as one call may try.
            for (const times of [1, 3]) {
              sandbox.control.faults.add({ path: paths[what], times, then: effect });
              const outcome = await {
                exchange: () => mine.link(given),
                rotate: () => mine.rotate(item_id),
                remove: () => remove(item_id, mine),
                webhook: () => mine.updateWebhook(item_id, "http://127.0.0.1:9/x"),
              }[what]();
              sandbox.control.faults.clear();
              await law();
              if (!outcome.ok)
                assert.doesNotMatch(inspect(outcome, { depth: null }), /(access|public)-sandbox-\w/);
              const recovery = value(await mine.recover());
              assert.deepEqual(recovery.open, []);
              await law();
            }
            const { state } = value(await mine.find(item_id));
            if (what === "remove") assert.equal(state, "removed", "once asked for, it is done in the end");
            else if (state === "stranded") {
              assert.equal(what, "rotate");
              assert.ok(effect === "drop-after-commit" || effect === "garbage", "done, and the answer lost");
            } else value(await mine.get(item_id));
          } finally {
            await mine.close();
          }
        });
      }
    }

    test("an Item whose token is lost is stranded: shown, refused, and whole again when the bank is linked again", async () => {
      const given = await publicToken(plaid);
      const { item_id } = value(await keeper.link(given));
      sandbox.control.faults.add({ path: paths.rotate, then: "drop-after-commit" });
      const said = failure(await keeper.rotate(item_id));
      assert.equal(said.kind, "stranded");
      assert.ok(said.kind === "stranded" && said.support.includes(item_id) && said.request_id);
      for (const result of [
        await keeper.get(item_id),
        await keeper.rotate(item_id),
        await keeper.remove(item_id),
      ])
        assert.equal(failure(result).kind, "stranded");
      assert.equal(value(await keeper.find(item_id)).state, "stranded");
      assert.equal((await events(item_id)).at(-1), "item.stranded");
      await law();

      // A public token of an Item that there is already leads to the token that it has now.
      sandbox.control.switches.set({ secondExchange: "same-token" });
      const again = value(await keeper.link(given));
      sandbox.control.switches.set({ secondExchange: "refuse" });
      assert.deepEqual([again.item_id, again.state, again.token_version], [item_id, "healthy", 2]);
      value(await keeper.get(item_id));
      await law();
    });

    test("an exchange that is lost is looked for with the link token, and else said to be lost", async () => {
      const linkToken = async () =>
        unwrap(await Link.createToken({ ...linkRequest, products: ["transactions"] }, plaid)).link_token;
      const link_token = await linkToken();
      const { public_token } = sandbox.control.link.complete(link_token);
      sandbox.control.faults.add({ path: paths.exchange, then: "drop-after-commit" });
      const lost = failure(await keeper.link(public_token!, { userId: "u_lost", linkToken: link_token }));
      assert.equal(lost.kind, "lost");
      await law();

      sandbox.control.switches.set({ secondExchange: "same-token" });
      sandbox.control.faults.add({ path: paths.exchange, then: "drop-after-commit" });
      const found = await keeper.link(await publicToken(plaid), { userId: "u_found" });
      sandbox.control.switches.set({ secondExchange: "refuse" });
      assert.equal(value(found).state, "healthy");

      // The token in hand is too old, and Plaid has another for the same session.
      const other = await linkToken();
      const session = sandbox.control.link.complete(other);
      sandbox.control.faults.add({ path: paths.exchange, then: "reset" });
      const stale = `public-sandbox-${"0".repeat(8)}-0000-0000-0000-${"0".repeat(12)}`;
      const linked = value(await keeper.link(stale, { linkToken: other }));
      assert.equal(linked.item_id, session.item_id);
      await law();
    });

    test("Plaid out of reach leaves intents, which recovery finishes", async () => {
      const [a, b, c] = [await linkOne(), await linkOne(), await linkOne()];
      const given = await publicToken(plaid);
      sandbox.control.faults.add({ path: "*", times: 1_000, then: "reset" });
      assert.equal(failure(await keeper.rotate(a)).kind, "unfinished");
      assert.equal(failure(await remove(b)).kind, "unfinished");
      assert.equal(failure(await keeper.updateWebhook(c, "http://127.0.0.1:9/c")).kind, "unfinished");
      assert.equal(failure(await keeper.link(given, { userId: "u_out" })).kind, "unfinished");
      assert.equal(value(await keeper.find(b)).state, "removing");
      assert.equal(failure(await keeper.get(b)).kind, "removing");
      assert.equal(failure(await keeper.get(a)).kind, "unfinished", "whether its token works is not known");
      assert.equal(value(await keeper.recover()).open.length, 4);
      sandbox.control.faults.clear();
      assert.equal(value(await keeper.recover()).finished, 4);
      assert.equal(value(await keeper.find(a)).token_version, 2);
      assert.equal(value(await keeper.find(b)).state, "removed");
      assert.equal(value(await keeper.find(c)).webhook, "http://127.0.0.1:9/c");
      assert.equal(
        sandbox.control.items.list().filter(({ access_token }) => access_token !== null).length > 0,
        true,
      );
      await law();
    });

    test("those who use an Item see nothing of its rotation", async () => {
      const item_id = await linkOne();
      const other = await another();
      let rotating = true;
      let used = 0;
      const traffic = [keeper, other].flatMap((of) =>
        Array.from({ length: 4 }, async () => {
          while (rotating) {
            value(await of.get(item_id));
            const own = await of.use(item_id, async (access_token) => {
              const answer = await Item.get(access_token, plaid);
              // As Plaid's own client throws it.
              const data = !answer.ok && answer.error.kind === "refused" ? answer.error.error : {};
              if (!answer.ok) throw Object.assign(new Error("400"), { response: { data } });
              return answer.value.item.item_id;
            });
            assert.equal(value(own), item_id);
            used++;
            await new Promise(setImmediate); // a Plaid in the process leaves the loop no other turn
          }
        }),
      );
      for (let round = 0; round < 10; round++) {
        value(await (round % 2 === 0 ? keeper : other).rotate(item_id));
        await new Promise(setImmediate);
      }
      rotating = false;
      await Promise.all(traffic);
      assert.ok(used > 0);
      assert.equal(value(await keeper.find(item_id)).token_version, 11, "ten were asked for, ten were made");
      await other.close();
      await law();
    });

    test("a process that sleeps through its lease: what it brings is taken all the same, and does no harm", async () => {
      const item_id = await linkOne();
      const { promise: asleep, resolve: wake } = Promise.withResolvers<void>();
      const { promise: answered, resolve: hasAnswer } = Promise.withResolvers<void>();
      const sleeper = await another({
        at: (step) => {
          if (step !== "rotate: answered") return undefined;
          hasAnswer();
          return asleep;
        },
      });
      const rotating = sleeper.rotate(item_id);
      await answered;
      const other = await another({ now: () => Date.now() + 600_000 });
      const bad = value(other.recovered).bad;
      assert.deepEqual(
        bad.map(({ kind }) => kind),
        ["stranded"],
        "the new token is in the sleeper's hand alone",
      );
      await law();
      wake();
      assert.equal(value(await rotating).state, "healthy");
      assert.equal(value(await other.get(item_id)).item.item_id, item_id);
      assert.equal(value(await other.rotate(item_id)).token_version, 3);
      await sleeper.close();
      await other.close();
      await law();
    });

    test("two keepers at the same few Items at once", async () => {
      const other = await another();
      const items = await Promise.all(Array.from({ length: 8 }, () => linkOne()));
      const rotations = new Map<string, number>();
      const work = Array.from({ length: 240 }, async (_, index) => {
        const item_id = items[index % items.length]!;
        const of = index % 3 === 0 ? other : keeper;
        if (index >= 200 && index % items.length < 3) return value(await remove(item_id, of)).state;
        if (index % 2 === 0) {
          const done = await of.rotate(item_id);
          if (done.ok) rotations.set(item_id, (rotations.get(item_id) ?? 0) + 1);
          else assert.match(done.error.kind, /^removed|removing$/);
        } else {
          const got = await of.get(item_id);
          if (!got.ok) {
            // Removal may come between the loan and the call; a dead token must not.
            const gone =
              /^(removed|removing)$/.test(got.error.kind) ||
              (got.error.kind === "plaid" &&
                got.error.failure.kind === "refused" &&
                got.error.failure.error.error_code === "ITEM_NOT_FOUND");
            assert.ok(gone, JSON.stringify(got.error));
          }
        }
        return "used";
      });
      await Promise.all(work);
      for (const item_id of items) {
        const { token_version, state } = value(await keeper.find(item_id));
        assert.equal(token_version, 1 + (rotations.get(item_id) ?? 0));
        if (state !== "removed") value(await other.get(item_id));
      }
      await other.close();
      await law();
    });

    test("no token stands in a table, in clear", async () => {
      const tokens = sandbox.control.items.list().flatMap(({ access_token }) => access_token ?? []);
      assert.ok(tokens.length > 10);
      const { sql } = keeper.database;
      const all = await Promise.all([
        sql.selectFrom("items").selectAll().execute(),
        sql.selectFrom("intents").selectAll().execute(),
        sql.selectFrom("events").selectAll().execute(),
      ]);
      const bytes = all.flat().flatMap((row) => Object.values(row).map((cell) => Buffer.from(String(cell))));
      const text = Buffer.concat(bytes).toString("latin1");
      for (const token of tokens) assert.ok(!text.includes(token));
      assert.doesNotMatch(text, /(access|public)-sandbox-[0-9a-f]/);
      assert.doesNotMatch(inspect(keeper, { depth: 9 }), /access-sandbox-[0-9a-f]/);
    });
  });
}
