// What sweeps promise, over whichever database.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { after, before, describe, test } from "node:test";
import { Item, unwrap } from "sett";
import { claimLease } from "../src/database/leases.ts";
import type { Keeper } from "../src/keeper.ts";
import { reportCsv, reportJsonLines } from "../src/sweep/report.ts";
import { leaseOfShard } from "../src/sweep/rows.ts";
import type { SweepOptions } from "../src/sweep/sweep.ts";
import type { ItemState, SweepOperation } from "../src/database/schema.ts";
import { failure, institution, publicToken, value, violations } from "./lifecycle-world.ts";
import { fleet, quick, reported, until, webhookAtPlaid, type Fleet } from "./sweep-world.ts";

export interface Place {
  readonly name: string;
  empty(): Promise<{ url: string; folder: string }>;
}

const paths = { rotate: "/item/access_token/invalidate", webhook: "/item/webhook/update" } as const;
const size = 8;

export function sweepContract(place: Place): void {
  describe(`sweeps: ${place.name}`, () => {
    let world: Fleet;
    let keeper: Keeper;
    let items: readonly string[];
    const removals = new Set<string>();
    const problems: unknown[] = [];
    /** Of what the keeper itself calls a problem. */
    const heard = new EventEmitter();
    const work = (more = {}) =>
      keeper.sweeps.work({ ...quick, onProblem: (what) => problems.push(what), ...more });
    const submitted = async (operation: SweepOperation, options: SweepOptions = {}) =>
      value(await keeper.sweep(operation, options));
    /** Submits, works until it is over, and gives status and report by Item. */
    const whole = async (operation: SweepOperation, options: SweepOptions = {}) => {
      const { sweep_id } = await submitted(operation, options);
      return toEnd(sweep_id);
    };
    const toEnd = async (sweep_id: number) => {
      const worker = work();
      try {
        const status = await until(keeper, sweep_id);
        const rows = new Map((await reported(keeper, sweep_id)).map((row) => [row.item_id, row]));
        return { sweep_id, status, rows };
      } finally {
        await worker.close();
      }
    };
    const token = (itemId: string) => world.sandbox.control.items.get(itemId).access_token;
    const ask = async (itemId: string) =>
      value(await keeper.find(itemId)).webhook === (await webhookAtPlaid(world.sandbox, world.plaid, itemId));

    before(async () => {
      const { url, folder } = await place.empty();
      world = await fleet(url, folder, size, { onProblem: (what) => void heard.emit("problem", what) });
      ({ keeper, items } = world);
    });
    after(async () => {
      assert.deepEqual(await violations(world.sandbox, keeper, { removals }), []);
      await world.close();
    });

    test("a dry run counts, names the first in order, and leaves nothing behind", async () => {
      const dry = value(await keeper.sweep("rotate", { dryRun: true, order: "oldest" }));
      assert.equal(dry.total, size);
      assert.deepEqual(dry.states, { healthy: size });
      const ages = dry.first.map(({ token_at }) => token_at);
      assert.deepEqual(
        ages,
        ages.toSorted((one, other) => one - other),
      );
      assert.deepEqual(value(await keeper.sweeps.list()), []);
    });

    test("what cannot be right is thrown before anything is written", async () => {
      await assert.rejects(() => keeper.sweep("webhook"), TypeError);
      await assert.rejects(() => keeper.sweep("webhook", { webhook: "ftp://x.example" }), TypeError);
      await assert.rejects(() => keeper.sweep("rotate", { webhook: "https://x.example" }), TypeError);
      await assert.rejects(
        () => keeper.sweep("remove", { reason: { reason_code: "" as "OTHER" } }),
        TypeError,
      );
      const wrong: readonly (readonly [SweepOperation, object, RegExp])[] = [
        // Each of these would be a sweep over every Item.
        ["remove", { selection: { user_id: "u_1" } }, /`user_id`; what is known is .*userId/],
        ["remove", { selection: { state: "error" } }, /`state`/],
        ["remove", { selection: { userId: undefined } }, /^userId must/],
        ["remove", { selection: { states: ["helthy"] } }, /^states must be .*healthy/],
        ["remove", { selection: undefined }, /^a selection must/],
        ["remove", { userId: "u_1" }, /`userId`; what is known is selection/],
        ["audit", { silentAfterMs: Infinity }, /^silentAfterMs must/],
        ["audit", { silentAfterMs: NaN }, /^silentAfterMs must/],
        ["audit", { silentAfterMs: "1" }, /^silentAfterMs must/],
        ["webhook", { webhook: null, acknowledgeWithinMs: -1 }, /^acknowledgeWithinMs must/],
        ["webhook", { webhook: null, acknowledgeWithinMs: 0.5 }, /^acknowledgeWithinMs must/],
        ["audit", { shardSize: 1e300 }, /^shardSize must/],
        ["audit", { shardSize: 0.5 }, /^shardSize must/],
        ["audit", { selection: { tokenBefore: 0.5 } }, /^tokenBefore must/],
        ["audit", { note: "a\0b" }, /^note must/],
        ["audit", { note: "\ud800" }, /^note must/],
        ["audit", { note: "x".repeat(513) }, /^note must/],
        ["audit", { note: 1 }, /^note must/],
        ["audit", { order: "newest" }, /^the order must be item_id, oldest, institution or riskiest$/],
        ["toString" as "audit", {}, /^the operation must be/],
        ["audit", { onDone: "tell me" }, /^onDone must/],
      ];
      for (const [operation, options, message] of wrong)
        for (const more of [{}, { dryRun: true }])
          await assert.rejects(
            () => keeper.sweep(operation, { ...options, ...more } as SweepOptions),
            { name: "TypeError", message },
            JSON.stringify(options),
          );
      assert.deepEqual(value(await keeper.sweeps.list()), []);
      assert.throws(() => keeper.sweeps.work({ inFlight: 0 }), TypeError);
      assert.equal(failure(await keeper.sweeps.status(99)).kind, "unknown-sweep");
    });

    test("webhooks are moved and acknowledged; twice the same is one sweep; what changed meanwhile is told apart", async () => {
      const webhook = "https://moved.example/plaid?a=b%20c";
      const first = await submitted("webhook", { webhook, note: "new host" });
      assert.equal(first.again, false);
      const again = await submitted("webhook", { webhook });
      assert.deepEqual([again.sweep_id, again.again], [first.sweep_id, true]);
      const other = await submitted("webhook", { webhook, selection: { userId: "nobody" } });
      assert.notEqual(other.sweep_id, first.sweep_id);
      assert.equal(other.state, "done");

      const [moved, gone] = items.toReversed();
      value(await keeper.updateWebhook(moved!, "https://mine.example/x"));
      removals.add(gone!);
      value(await keeper.remove(gone!));
      const later = value(await keeper.link(await publicToken(world.plaid))).item_id;

      const { status, rows } = await toEnd(first.sweep_id);
      assert.deepEqual([status.done, status.skipped, status.failed], [size - 2, 2, 0]);
      assert.equal(status.unacknowledged, 0);
      assert.equal(rows.has(later), false);
      assert.match(rows.get(moved!)!.what, /moved by others/);
      assert.match(rows.get(gone!)!.what, /removed/);
      for (const row of rows.values()) {
        if (row.outcome !== "done") continue;
        assert.ok(row.request_id && row.acknowledged_at && row.settled_at, JSON.stringify(row));
        assert.equal(await webhookAtPlaid(world.sandbox, world.plaid, row.item_id), webhook);
        assert.equal(await ask(row.item_id), true);
      }
      removals.add(later);
      value(await keeper.remove(later));
      items = items.filter((item) => item !== gone);
      const events = await keeper.database.sql
        .selectFrom("events")
        .select("detail")
        .where("kind", "=", "sweep.done")
        .execute();
      assert.deepEqual(
        events.map(({ detail }) => (JSON.parse(detail) as { done: number }).done),
        // That of nobody's Items was over at once.
        [0, size - 2],
      );
    });

    test("the same states in another order, or twice, are the same sweep", async () => {
      const of = (...states: ItemState[]) => submitted("rotate", { selection: { states } });
      const one = await of("revoked", "error");
      assert.deepEqual(one.selection, { states: ["error", "revoked"] });
      assert.equal(one.total, 0);
      const open = await submitted("audit", { selection: { states: ["healthy", "error"] } });
      const same = await submitted("audit", { selection: { states: ["error", "healthy", "error"] } });
      assert.deepEqual([same.sweep_id, same.again], [open.sweep_id, true]);
      value(await keeper.sweeps.cancel(open.sweep_id));
    });

    test("a sweep is not rolled back while calls of it are out: nothing stays at the new address", async () => {
      const before = new Map(
        await Promise.all(items.map(async (item) => [item, value(await keeper.find(item)).webhook] as const)),
      );
      const { sweep_id } = await submitted("webhook", { webhook: "https://regretted.example/" });
      const reached = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      const post: typeof world.plaid.post = async (...asked) => {
        const answer = await world.sandbox.post(...asked);
        if (asked[0].endsWith(paths.webhook)) {
          reached.resolve();
          await gate.promise;
        }
        return answer;
      };
      const other = await world.another({}, { post });
      const worker = other.sweeps.work({ ...quick, onProblem: (what) => problems.push(what) });
      await reached.promise;
      value(await keeper.sweeps.cancel(sweep_id));
      const early = failure(await keeper.sweeps.rollback(sweep_id));
      assert.deepEqual(early, { kind: "wrong-state", sweep_id, state: "cancelled" });
      gate.resolve();
      await worker.close();
      const moved = value(await keeper.sweeps.status(sweep_id)).done;
      assert.ok(moved > 0);
      // Plaid's acknowledgements of one address are alike but for the second of their signing.
      for (const second = Math.floor(Date.now() / 1_000); Math.floor(Date.now() / 1_000) === second;)
        await new Promise((resolve) => setTimeout(resolve, 20));
      const back = value(await keeper.sweeps.rollback(sweep_id));
      assert.equal(back.total, moved);
      await toEnd(back.sweep_id);
      for (const item of items) {
        assert.equal(await webhookAtPlaid(world.sandbox, world.plaid, item), before.get(item));
        assert.equal(await ask(item), true);
      }
    });

    test("a rollback takes what a worker has left behind when its lease has run out", async () => {
      const { sweep_id } = await submitted("webhook", { webhook: "https://killed.example/", shardSize: 3 });
      const name = leaseOfShard(sweep_id, 1);
      const { sql } = keeper.database;
      assert.ok(await claimLease(sql, { name, holder: "killed", now: Date.now(), forMs: 60_000 }));
      value(await keeper.sweeps.cancel(sweep_id));
      assert.equal(failure(await keeper.sweeps.rollback(sweep_id)).kind, "wrong-state");
      await sql.updateTable("leases").set({ until_ms: Date.now() }).where("name", "=", name).execute();
      const { total, state } = value(await keeper.sweeps.rollback(sweep_id));
      assert.deepEqual([total, state], [0, "done"]);
    });

    test("a sweep of webhooks is rolled back where nobody has moved them since", async () => {
      const before = new Map(
        await Promise.all(items.map(async (item) => [item, value(await keeper.find(item)).webhook] as const)),
      );
      const forth = await whole("webhook", { webhook: "https://forth.example/plaid" });
      // Plaid's acknowledgements of one address are alike but for the second of their signing.
      for (const second = Math.floor(Date.now() / 1_000); Math.floor(Date.now() / 1_000) === second;)
        await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(forth.status.done, items.length);
      value(await keeper.updateWebhook(items[0]!, "https://since.example/"));
      const back = value(await keeper.sweeps.rollback(forth.sweep_id));
      assert.equal(back.rolls_back, forth.sweep_id);
      assert.equal(failure(await keeper.sweeps.rollback(back.sweep_id)).kind, "wrong-state");
      const { status } = await toEnd(back.sweep_id);
      assert.deepEqual([status.total, status.done], [items.length - 1, items.length - 1]);
      for (const item of items.slice(1)) {
        assert.equal(value(await keeper.find(item)).webhook, before.get(item));
        assert.equal(await ask(item), true);
      }
      assert.equal(value(await keeper.find(items[0]!)).webhook, "https://since.example/");
    });

    test("Items that Plaid does not acknowledge in time are named", async () => {
      world.sandbox.control.webhooks.hold();
      const { rows } = await whole("webhook", {
        webhook: "https://deaf.example/plaid",
        acknowledgeWithinMs: 50,
      });
      world.sandbox.control.webhooks.release();
      await world.sandbox.control.webhooks.idle();
      for (const { outcome, acknowledged_at, todo } of rows.values()) {
        assert.deepEqual([outcome, acknowledged_at], ["done", null]);
        assert.match(todo!, /roll back/);
      }
    });

    test("every Item is rotated once, whatever is lost on the way", async () => {
      const { control } = world.sandbox;
      const earlier = items[0]!;
      const { sweep_id } = await submitted("rotate", { order: "riskiest" });
      value(await keeper.rotate(earlier));
      const before = new Map(items.map((item) => [item, valueOf(token(item))]));
      const versions = new Map(
        await Promise.all(
          items.map(async (item) => [item, value(await keeper.find(item)).token_version] as const),
        ),
      );
      control.faults.add({ path: paths.rotate, times: 1, then: "reset" });
      control.faults.add({ path: paths.rotate, times: 1, then: "INTERNAL_SERVER_ERROR" });
      control.faults.add({ path: paths.rotate, times: 1, then: "RATE_LIMIT" });
      const { status, rows } = await toEnd(sweep_id);
      assert.deepEqual([status.done, status.skipped, status.failed], [items.length - 1, 1, 0]);
      assert.match(rows.get(earlier)!.what, /rotated/);
      for (const item of items.slice(1)) {
        const { token_version } = value(await keeper.find(item));
        assert.equal(token_version, versions.get(item)! + 1, "rotated once");
        assert.notEqual(token(item), before.get(item));
        assert.ok(rows.get(item)!.request_id);
      }
    });

    test("an Item whose new token is lost with the answer is stranded, and the report says what to send to Plaid", async () => {
      const lonely = value(await keeper.link(await publicToken(world.plaid), { userId: "u_lost" })).item_id;
      world.sandbox.control.faults.add({ path: paths.rotate, times: 1, then: "drop-after-commit" });
      const { status, rows } = await whole("rotate", { selection: { userId: "u_lost" } });
      assert.deepEqual([status.failed, status.failures], [1, { support: 1 }]);
      assert.match(rows.get(lonely)!.todo!, new RegExp(`Item ${lonely}`));
      const again = await whole("rotate", { selection: { userId: "u_lost" } });
      assert.equal(again.rows.get(lonely)!.failure!.kind, "stranded");
      const seen = await whole("audit", { selection: { userId: "u_lost" } });
      assert.deepEqual(seen.status.findings, { stranded: 1 });
      // The application had it all along.
      value(await keeper.importItem(valueOf(token(lonely))));
      items = [...items, lonely].sort();
    });

    test("a call that fares badly is tried again in the same sweep, and named when it never does well", async () => {
      const { faults } = world.sandbox.control;
      faults.add({ path: paths.webhook, times: 3, then: { status: 502 } });
      const good = await whole("webhook", { webhook: "https://again.example/" });
      assert.equal(good.status.done, items.length);
      faults.add({ path: paths.webhook, times: 1, then: "INVALID_FIELD" });
      const bad = await whole("webhook", { webhook: "https://refused.example/" });
      assert.deepEqual([bad.status.failed, bad.status.failures], [1, { "fix-request": 1 }]);
      faults.add({ path: paths.webhook, times: 1_000, then: "INTERNAL_SERVER_ERROR" });
      const never = await whole("webhook", { webhook: "https://never.example/" });
      faults.clear();
      assert.equal(never.status.failed, never.status.total);
      const [row] = never.rows.values();
      assert.equal(row!.attempts, 6);
      assert.match(row!.what, /INTERNAL_SERVER_ERROR/);
      value(await keeper.recover());
      for (const item of items) assert.equal(await ask(item), true);
    });

    test("it is paused, goes on, and is cancelled; what was not begun is named", async () => {
      const { sweep_id } = await submitted("audit");
      assert.equal(value(await keeper.sweeps.pause(sweep_id)).state, "paused");
      const worker = work();
      await new Promise((resolve) => setTimeout(resolve, 150));
      const paused = value(await keeper.sweeps.status(sweep_id));
      assert.deepEqual([paused.state, paused.waiting], ["paused", paused.total]);
      assert.equal(value(await keeper.sweeps.resume(sweep_id)).state, "waiting");
      assert.equal((await until(keeper, sweep_id)).done, paused.total);
      await worker.close();
      assert.equal(failure(await keeper.sweeps.pause(sweep_id)).kind, "wrong-state");

      const second = await submitted("audit");
      assert.notEqual(second.sweep_id, sweep_id);
      value(await keeper.sweeps.cancel(second.sweep_id));
      assert.equal(value(await keeper.sweeps.cancel(second.sweep_id)).state, "cancelled");
      for (const { what } of await reported(keeper, second.sweep_id)) assert.match(what, /cancelled/);
      assert.equal(failure(await keeper.sweeps.resume(second.sweep_id)).kind, "wrong-state");
    });

    test("a worker that has lost its lease writes nothing; the next one does the shard again", async () => {
      const { sweep_id } = await submitted("webhook", { webhook: "https://fence.example/" });
      let stolen = false;
      const thief = async () => {
        if (stolen) return;
        stolen = true;
        // As if the worker had slept until its lease ran out and somebody else had taken it.
        const name = leaseOfShard(sweep_id, 0);
        await keeper.database.sql
          .updateTable("leases")
          .set({ until_ms: 0 })
          .where("name", "=", name)
          .execute();
        const taken = await claimLease(keeper.database.sql, { name, holder: "thief", now: 1, forMs: 1 });
        assert.ok(taken);
      };
      const post: typeof world.plaid.post = async (...asked) => {
        if (asked[0].endsWith(paths.webhook)) await thief();
        return world.sandbox.post(...asked);
      };
      const slow = await world.another({}, { post });
      const worker = slow.sweeps.work({ ...quick, onProblem: (what) => problems.push(what) });
      const status = await until(keeper, sweep_id);
      await worker.close();
      assert.equal(status.done + status.skipped, status.total);
      const counted = (await reported(keeper, sweep_id)).filter(({ outcome }) => outcome === "done").length;
      assert.equal(counted, status.done, "the counts are those of the rows");
      assert.deepEqual(
        (await reported(keeper, sweep_id)).filter(({ what }) => /others/.test(what)),
        [],
      );
      for (const item of items) assert.equal(await ask(item), true);
    });

    test("a worker that is closed gives back what it has, and another goes on", async () => {
      const { sweep_id } = await submitted("rotate");
      const one = work({ inFlight: 1, shards: 1 });
      await until(keeper, sweep_id, ({ state }) => state !== "waiting");
      await one.close();
      assert.equal(one.busy, 0);
      const left = value(await keeper.sweeps.status(sweep_id));
      const { status } = await toEnd(sweep_id);
      assert.ok(left.waiting <= left.total);
      assert.deepEqual([status.waiting, status.done], [0, items.length]);
    });

    test("an audit names the Item whose token was replaced elsewhere; importing the one that works mends it", async () => {
      const { plaid } = world;
      const { item_id } = value(await keeper.link(await publicToken(plaid), { userId: "u_elsewhere" }));
      const { new_access_token } = unwrap(await Item.invalidateAccessToken(token(item_id)!, plaid));
      const audit = async () =>
        (await whole("audit", { selection: { userId: "u_elsewhere" } })).rows.get(item_id)!;
      const refused = await audit();
      assert.deepEqual([refused.outcome, refused.advice], ["failed", "operator"]);
      assert.match(refused.todo!, /rotated elsewhere.*Import the token that works/);
      value(await keeper.importItem(new_access_token));
      assert.deepEqual((await audit()).todo, null);
      removals.add(item_id);
      value(await keeper.remove(item_id));
    });

    test("an audit says who needs what", async () => {
      const { control } = world.sandbox;
      const [broken, expiring, twin] = items.slice(-3) as [string, string, string];
      control.items.loginRequired(broken);
      control.items.pendingExpiration(expiring);
      await control.webhooks.idle();
      const about = { userId: "u_twin", institution, accounts: [{ mask: "0000", name: "Checking" }] };
      const same = value(await keeper.link(await publicToken(world.plaid), about as never)).item_id;
      const other = value(
        await keeper.link(await publicToken(world.plaid), { ...about, duplicates: "flag" } as never),
      ).item_id;
      const { status, rows } = await whole("audit", { webhook: "https://fence.example/", silentAfterMs: 1 });
      const kinds = (item: string) => rows.get(item)!.findings.map(({ kind }) => kind);
      assert.ok(kinds(broken).includes("update-mode"));
      assert.ok(kinds(expiring).some((kind) => kind.startsWith("expires-in-")));
      assert.ok(!kinds(twin).includes("stale-webhook"), JSON.stringify(rows.get(twin)));
      assert.ok(kinds(same).includes("stale-webhook"));
      assert.deepEqual(
        rows.get(same)!.findings.find(({ kind }) => kind === "duplicate"),
        {
          kind: "duplicate",
          of: [other],
        },
      );
      assert.match(rows.get(broken)!.todo!, /update mode/);
      assert.equal(value(await keeper.find(broken)).state, "login_required", "the answer is taken");
      assert.equal(status.findings.duplicate, 2);
      control.items.completeUpdateMode(broken);
    });

    test("an audit takes nothing from a token that was rotated while it asked, whichever code that gets", async () => {
      const { control } = world.sandbox;
      const { rotatedToken } = control.switches.get();
      control.switches.set({ rotatedToken: "ITEM_NOT_FOUND" });
      const [item] = items;
      const token = control.items.get(item!).access_token!;
      let rotated = false;
      const post: typeof world.plaid.post = async (...asked) => {
        if (!rotated && asked[0].endsWith("/item/get") && JSON.stringify(asked).includes(token)) {
          rotated = true;
          value(await keeper.rotate(item!));
        }
        return world.sandbox.post(...asked);
      };
      const other = await world.another({}, { post });
      const { sweep_id } = await submitted("audit");
      const worker = other.sweeps.work(quick);
      const status = await until(keeper, sweep_id);
      await worker.close();
      control.switches.set({ rotatedToken });
      assert.ok(rotated);
      assert.deepEqual([status.failed, status.done], [0, status.total]);
      const states = await keeper.database.sql
        .selectFrom("events")
        .select("detail")
        .where("item_id", "=", item!)
        .where("kind", "=", "item.state")
        .where("detail", "like", "%ITEM_NOT_FOUND%")
        .execute();
      assert.deepEqual(states, []);
    });

    test("tokens move to the key in use, which another process has begun with, and the old key can go", async () => {
      const old = value(await keeper.vault.writeKeyId());
      const other = await world.another();
      const fresh = value(await other.vault.newEpoch());
      const { status } = await whole("reencrypt");
      assert.equal(status.failed, 0);
      assert.equal(value(await keeper.vault.writeKeyId()), fresh);
      const rows = await keeper.database.sql.selectFrom("items").select("key_id").execute();
      const kept = new Set(rows.map(({ key_id }) => key_id));
      assert.equal(kept.has(old), false);
      for (const item of items) value(await keeper.get(item));
    });

    test("an onDone that throws, or rejects, is a problem that is told, and ends nothing", async () => {
      const selection = { userId: "nobody" };
      for (const onDone of [() => assert.fail("a bug"), () => Promise.reject(new Error("a bug"))]) {
        const told = once(heard, "problem");
        await submitted("audit", { selection, onDone });
        const [problem] = (await told) as [Error];
        assert.equal(problem.message, "a bug");
      }
    });

    test("without any Item all else that is sealed moves to the key in use", async () => {
      const { sweep_id } = await submitted("audit", { note: "sealed with the old key" });
      await keeper.vault.newEpoch();
      const { status } = await whole("reencrypt", { selection: { userId: "nobody" } });
      assert.deepEqual([status.state, status.total], ["done", 0]);
      const { sql } = keeper.database;
      const sealed = await sql.selectFrom("sweeps").select(["sweep_id", "key_id"]).execute();
      const { key_id } = sealed.find((row) => row.sweep_id === sweep_id)!;
      assert.equal(key_id, value(await keeper.vault.writeKeyId()));
      await toEnd(sweep_id);
    });

    test("Items are removed with their reason, and whoever waits for the end is told", async () => {
      for (const item of items) removals.add(item);
      const ended = Promise.withResolvers<string>();
      const { sweep_id } = await submitted("remove", {
        selection: { userId: "u_0" },
        reason: { reason_code: "OTHER" },
        onDone: ({ state }) => ended.resolve(state),
      });
      world.sandbox.control.faults.add({ path: "/item/remove", times: 1, then: "drop-after-commit" });
      const { status, rows } = await toEnd(sweep_id);
      assert.equal(await ended.promise, "done");
      assert.equal(status.done, status.total);
      assert.ok(status.total > 0);
      for (const item of rows.keys()) assert.notEqual(world.sandbox.control.items.get(item).removed_at, null);
    });

    test("a report is a table and lines, with a row for every Item", async () => {
      const [last] = value(await keeper.sweeps.list({ limit: 1 }));
      const read = async (
        lines: AsyncIterable<{ ok: true; value: string } | { ok: false; error: unknown }>,
      ) => {
        let text = "";
        for await (const some of lines) text += value(some);
        return text.trimEnd().split("\n");
      };
      const csv = await read(reportCsv(keeper.sweeps.report(last!.sweep_id)));
      const json = await read(reportJsonLines(keeper.sweeps.report(last!.sweep_id)));
      assert.match(csv[0]!, /^sweep_id,position,item_id,/);
      assert.deepEqual([csv.length - 1, json.length], [last!.total, last!.total]);
      for (const line of json) assert.equal((JSON.parse(line) as { outcome: string }).outcome, "done");
    });
  });
}

function valueOf(token: string | null): string {
  assert.ok(token);
  return token;
}
