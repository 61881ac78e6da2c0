// What goes wrong only where two rooms meet: subscribers and logs, forgetting and sweeps, two environments and their jobs,
// sweeps that are cancelled and workers that are killed.

import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { createSandbox } from "@sett/sandbox";
import { Item, unwrap } from "sett";
import { keeperStage } from "./keeper-stage.ts";
import { configFor, open, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { soon, stage } from "./sweep-stage.ts";
import { fleet, quick, reported, until, webhookAtPlaid } from "./sweep-world.ts";

const { places, escrowFolder } = testPlaces("between");

for (const [name, empty] of Object.entries(places)) {
  describe(`between rooms: ${name}`, () => {
    test("what a subscriber throws is told to whoever is told of problems", async () => {
      const told: unknown[] = [];
      const scene = await keeperStage(await empty(), escrowFolder(), {
        onProblem: (what) => told.push(what),
        wait: async () => {},
      });
      const keeper = await scene.reopen();
      const broken = new Error("a bug of the subscriber's");
      keeper.subscribe("mailer", () => {
        throw broken;
      });
      await scene.link(keeper);
      await soon(async () => told.length > 0);
      assert.equal(told[0], broken);
      await scene.close();
    });

    test("an actor whom no history can name is refused before a token is spent for one", async () => {
      const sandbox = await createSandbox();
      const opening = open(await empty(), escrowFolder(), configFor(sandbox), { actor: "cli:\0" });
      await assert.rejects(opening, TypeError);
      await sandbox.close();
    });

    test("a pause that is over before its time leaves nothing behind that keeps the process alive", async () => {
      const begun = new Map(
        [1_000, 77_000].map((ms) => [ms, Promise.withResolvers<AbortSignal | undefined>()]),
      );
      const wait = (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve) => {
          signal?.addEventListener("abort", () => resolve());
          begun.get(ms)?.resolve(signal);
        });
      const sandbox = await createSandbox();
      const plaid = configFor(sandbox, { retries: 0 });
      const keeper = await open(await empty(), escrowFolder(), plaid, { wait, budget: false });
      sandbox.control.faults.add({ path: "/item/get", then: { status: 500 } });
      const imported = keeper.importItems(
        (async function* () {
          yield "access_token\naccess-sandbox-1\n";
        })(),
      );
      keeper.sweeps.work({ pollMs: 77_000 });
      const signals = await Promise.all([...begun.values()].map(({ promise }) => promise));
      await keeper.close();
      assert.equal(value(await imported).complete, false);
      for (const signal of signals) assert.equal(signal?.aborted, true);
      await sandbox.close();
    });

    test("who is forgotten stands in the selection of no sweep; others do", async () => {
      const { keeper, close } = await fleet(await empty(), escrowFolder(), 3);
      const worker = keeper.sweeps.work(quick);
      const ids: number[] = [];
      for (const userId of ["u_1", "u_2"]) {
        const { sweep_id } = value(
          await keeper.sweep("remove", { selection: { userId, states: ["healthy"] } }),
        );
        await until(keeper, sweep_id);
        ids.push(sweep_id);
      }
      await worker.close();
      assert.deepEqual(value(await keeper.forgetUser("u_1")), { items: 1 });
      const sweeps = new Map(
        value(await keeper.sweeps.list()).map((sweep) => [sweep.sweep_id, sweep.selection]),
      );
      assert.deepEqual(
        ids.map((id) => sweeps.get(id)),
        [
          { states: ["healthy"], userId: "" },
          { states: ["healthy"], userId: "u_2" },
        ],
      );
      await close();
    });
  });
}

test("workers of one environment leave the jobs of the other alone", async () => {
  const url = await places.PostgreSQL();
  const folder = escrowFolder();
  const ours = await fleet(url, folder, 6);
  const production = await createSandbox();
  const config = configFor(production, { env: "production" });
  const theirs = await open(url, folder, config, { budget: false });
  const idle = theirs.sweeps.work({ ...quick, pollMs: 1 });
  const worker = ours.keeper.sweeps.work({ ...quick, shards: 1 });
  const { sweep_id } = value(await ours.keeper.sweep("audit", { shardSize: 1 }));
  assert.equal((await until(ours.keeper, sweep_id)).done, 6);
  await Promise.all([worker.close(), idle.close()]);
  const leases = await ours.keeper.database.sql
    .selectFrom("leases")
    .select("fence")
    .where("name", "like", `sweep ${sweep_id} %`)
    .execute();
  assert.deepEqual(
    leases.map(({ fence }) => fence),
    Array.from({ length: 6 }, () => 1),
  );
  await theirs.close();
  await production.close();
  await ours.close();
});

test("an audit takes a dead token for a dead Item only where no new one is on its way", async (t) => {
  const { keeper, sandbox, plaid, sql, clock, submit, run, rows, items } = await stage(t, 1);
  const [item_id = ""] = items;
  sandbox.control.switches.set({ rotatedToken: "ITEM_NOT_FOUND" });
  const { access_token } = sandbox.control.items.get(item_id);
  // A rotation whose answer waits in the escrow of a host that is away.
  unwrap(await Item.invalidateAccessToken(access_token!, plaid));
  const about = { intent_id: "away", environment: "sandbox", item_id, opened_at: clock.now } as const;
  await sql
    .insertInto("intents")
    .values({ ...about, kind: "rotate" })
    .execute();
  const sweepId = await submit("audit");
  const audited = async () => {
    value(await run(sweepId));
    clock.now += 600_000;
    const [row] = await rows(sweepId);
    return [row!.outcome, value(await keeper.find(item_id)).state];
  };
  for (let round = 0; round < 3; round++) assert.deepEqual(await audited(), ["unfinished", "healthy"]);
  await sql.updateTable("intents").set({ settled_at: clock.now, outcome: "not-done" }).execute();
  assert.deepEqual(await audited(), ["failed", "revoked"]);
});

describe("a sweep of webhooks that was cancelled while a worker died", () => {
  const old = "https://old.example/plaid";
  const goal = "https://new.example/plaid";

  /** Items at `old`, and a worker that is dead for everybody else: its leases have run out. */
  async function scene(t: TestContext, count: number) {
    const world = await stage(t, count);
    const { keeper, items, sandbox, plaid, clock } = world;
    for (const item of items) value(await keeper.updateWebhook(item, old));
    const atPlaid = () => Promise.all(items.map((item) => webhookAtPlaid(sandbox, plaid, item)));
    const rollBack = async (sweepId: number) => {
      const { sweep_id, total } = value(await keeper.sweeps.rollback(sweepId));
      clock.now = Date.now();
      if (total > 0) value(await world.run(sweep_id));
      return { sweep_id, total };
    };
    clock.now = Date.now() - 3_600_000;
    return { ...world, atPlaid, rollBack };
  }

  test("what it may have moved is named, and put back; what was moved by hand since is not", async (t) => {
    const { keeper, submit, run, items, sandbox, atPlaid, rollBack, rows } = await scene(t, 6);
    const sweepId = await submit("webhook", { webhook: goal, acknowledgeWithinMs: 0 });
    let moved = 0;
    const late = Promise.withResolvers<void>();
    const post: typeof sandbox.post = async (...asked) => {
      const answer = await sandbox.post(...asked);
      moved++;
      await late.promise;
      return answer;
    };
    const dying = run(sweepId, { means: { plaid: configFor({ post }) }, inFlight: 3 });
    await soon(async () => moved === 3);
    value(await keeper.sweeps.cancel(sweepId));
    const before = await reported(keeper, sweepId);
    const named = before.filter(({ todo }) => todo !== null);
    assert.ok(named.length >= 3);
    for (const row of named) {
      assert.match(row.what, /^Begun, and the sweep was cancelled/);
      assert.match(row.todo!, /^Roll back, or audit it/);
    }
    const left = before.filter(({ todo }) => todo === null);
    for (const row of left) assert.equal(row.what, "Not begun: the sweep was cancelled.");

    const [mine] = items;
    value(await keeper.updateWebhook(mine!, "https://mine.example/"));
    const { sweep_id, total } = await rollBack(sweepId);
    assert.equal(total, named.length - 1);
    assert.deepEqual(await atPlaid(), ["https://mine.example/", old, old, old, old, old]);
    for (const { outcome } of await rows(sweep_id)) assert.equal(outcome, "done");
    assert.equal(value(await keeper.find(items[1]!)).webhook, old);
    // It was only away, and what it has to say now is of no use.
    late.resolve();
    assert.equal(value(await dying), "lost");
    assert.equal(value(await keeper.find(items[1]!)).webhook, old);
  });

  test("so is what was moved without an answer; what Plaid refused is not asked for again", async (t) => {
    const { keeper, submit, run, items, sandbox, atPlaid, rollBack, rows, calls } = await scene(t, 3);
    const sweepId = await submit("webhook", { webhook: goal, acknowledgeWithinMs: 0 });
    const refused = sandbox.control.items.get(items[2]!).access_token!;
    const post: typeof sandbox.post = async (at, body, ...more) => {
      if (!String(body).includes(refused)) {
        await sandbox.post(at, body, ...more);
        throw new TypeError("fetch failed", {
          cause: Object.assign(new Error("reset"), { code: "ECONNRESET" }),
        });
      }
      sandbox.control.faults.add({ path: "/item/webhook/update", then: "ITEM_NOT_FOUND" });
      return sandbox.post(at, body, ...more);
    };
    const config = configFor({ post }, { retries: 0 });
    value(await run(sweepId, { means: { plaid: config }, inFlight: 1 }));
    assert.deepEqual(
      (await rows(sweepId)).map(({ outcome }) => outcome),
      ["unfinished", "unfinished", "failed"],
    );
    assert.deepEqual(await atPlaid(), [goal, goal, old]);
    value(await keeper.sweeps.cancel(sweepId));
    const before = calls.length;
    assert.equal((await rollBack(sweepId)).total, 2);
    assert.equal(calls.length - before, 2);
    assert.deepEqual(await atPlaid(), [old, old, old]);
  });

  test("what the keeper finished by itself is put back as well", async (t) => {
    const { keeper, submit, run, items, sql, atPlaid, rollBack } = await scene(t, 2);
    const sweepId = await submit("webhook", { webhook: goal, acknowledgeWithinMs: 0 });
    await sql.updateTable("sweep_items").set({ attempt: 1 }).where("sweep_id", "=", sweepId).execute();
    // The worker dies with the intent of the first open, and `recover` goes on with it.
    let begun = false;
    const late = Promise.withResolvers<void>();
    const acts = {
      updateWebhook: async (item: string, webhook: string | null) => {
        const came = await keeper.updateWebhook(item, webhook);
        begun = true;
        await late.promise;
        return came;
      },
    };
    const dying = run(sweepId, { acts, inFlight: 1 });
    await soon(async () => begun);
    value(await keeper.sweeps.cancel(sweepId));
    assert.deepEqual(await atPlaid(), [goal, old]);
    await rollBack(sweepId);
    assert.deepEqual(await atPlaid(), [old, old]);
    assert.equal(value(await keeper.find(items[0]!)).webhook, old);
    late.resolve();
    assert.equal(value(await dying), "lost");
  });
});
