// What the dead left in the escrow, and what stands in the way of bringing it in: a record that fits nowhere, a keeper of
// another environment, an Item that was removed since. And who waits for whom over one Item.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { createSandbox, type Sandbox } from "@sett/sandbox";
import { err, Item, ok, unwrap, type Config } from "sett";
import { openEscrow } from "../src/escrow/escrow.ts";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import { leaseOfItem } from "../src/database/leases.ts";
import { nothingKnown, sweeperOf, type Given } from "../src/lifecycle/arrival.ts";
import type { KeeperFailure } from "../src/lifecycle/failure.ts";
import { Flights, type Act } from "../src/lifecycle/flights.ts";
import type { Means } from "../src/lifecycle/means.ts";
import { Salvage } from "../src/lifecycle/salvage.ts";
import { configFor, failure, open, publicToken, rotationOf, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import { fleet, quick, until, webhookAtPlaid } from "./sweep-world.ts";

const { places, escrowFolder } = testPlaces("salvage");
const later = () => Date.now() + 600_000; // the leases of the dead have run out

/** For `at`: whoever has Plaid's answer goes no further. `reached` resolves when somebody has. */
function hanging() {
  const reached = Promise.withResolvers<void>();
  const at = (step: string) => {
    if (!step.endsWith(": answered")) return undefined;
    reached.resolve();
    return new Promise<never>(() => {});
  };
  return { at, reached: reached.promise };
}

interface World {
  readonly sandbox: Sandbox;
  readonly plaid: Config;
  readonly folder: string;
  reopen(more?: Partial<KeeperOptions>, config?: Partial<Config>): Promise<Keeper>;
}

/** A journal as a process that is gone left it. Gives the process's name. */
async function leave(
  { folder }: World,
  { vault }: Keeper,
  given: readonly Given[],
  spoil: (sealed: Buffer) => Buffer = (sealed) => sealed,
): Promise<string> {
  const name = randomUUID();
  const escrow = value(await openEscrow(folder, { mint: () => name }));
  for (const [at, one] of given.entries()) {
    const id = randomUUID();
    const { kind, item_id, intent_id } = one;
    const sealed = value(
      await vault.sealPortable(Buffer.from(JSON.stringify(one)), { purpose: "escrow", subject: id }),
    );
    const meta = { kind, environment: "sandbox", item_id, intent_id };
    value(await escrow.record({ id, at, meta }, async () => ok(spoil(sealed))));
  }
  await escrow.close();
  return name;
}

/** What Plaid gives for a new public token, and the application knows of it. */
async function exchanged({ plaid }: World, about: object = {}): Promise<Given> {
  const { access_token, item_id, request_id } = unwrap(
    await Item.exchangePublicToken(await publicToken(plaid), plaid),
  );
  return {
    ...{ kind: "exchange", intent_id: randomUUID(), item_id, request_id, from_version: 0, fence: 1 },
    ...{ access_token, about: { ...nothingKnown, ...about } },
  };
}

/** What Plaid gave for the rotation that is open. */
async function rotated({ sandbox }: World, keeper: Keeper, itemId: string): Promise<Given> {
  const { intent_id, fence } = await rotationOf(keeper, itemId);
  const access_token = sandbox.control.items.get(itemId).access_token!;
  return {
    ...{ kind: "rotate", intent_id, item_id: itemId, request_id: null, from_version: 1, fence: fence! },
    ...{ access_token, about: nothingKnown },
  };
}

for (const [name, empty] of Object.entries(places)) {
  describe(`what the dead left: ${name}`, () => {
    const inWorld = (title: string, play: (world: World) => Promise<void>) => {
      test(title, async () => {
        const sandbox = await createSandbox();
        const plaid = configFor(sandbox);
        const [url, folder] = [await empty(), escrowFolder()];
        const opened = new Map<Keeper, boolean>();
        const reopen: World["reopen"] = async (more, config) => {
          const keeper = await open(url, folder, { ...plaid, ...config }, more);
          opened.set(keeper, more?.at !== undefined);
          return keeper;
        };
        try {
          await play({ sandbox, plaid, folder, reopen });
        } finally {
          // One that hangs never closes.
          for (const [keeper, hangs] of opened) await (hangs ? keeper.database : keeper).close();
          await sandbox.close();
        }
      });
    };

    inWorld("one record that cannot be brought in keeps no other from it, and waits", async (world) => {
      const first = await world.reopen();
      // A name that is no text, which SQLite's driver does not bind; and for PostgreSQL an Item of nobody's.
      const bad = await exchanged(world, { institution_name: name === "SQLite" ? { x: 1 } : "a\0b" });
      const good = await exchanged(world, { user_id: "u" });
      await leave(world, first, [bad, good]);
      const keeper = await world.reopen();
      const { adopted, open } = value(keeper.recovered);
      assert.deepEqual(adopted, [good.item_id]);
      const about = { item_id: bad.item_id, intent_id: bad.intent_id, kept: "escrow" };
      assert.equal(open.length, 1);
      assert.partialDeepStrictEqual(open[0], { kind: "pending", ...about, cause: { kind: "database" } });
      assert.ok(!JSON.stringify(open).includes(bad.access_token));
      value(await keeper.get(good.item_id));
      assert.equal(value(await keeper.recover()).open.length, 1, "and again");
    });

    inWorld("an exchange is not lost whose token waits in the escrow", async (world) => {
      const { sandbox, plaid, reopen } = world;
      const { at, reached } = hanging();
      const gone = await reopen({ at });
      const token = await publicToken(plaid);
      void gone.link(token);
      await reached;
      const { intent_id } = await gone.database.sql
        .selectFrom("intents")
        .select("intent_id")
        .executeTakeFirstOrThrow();
      const { item_id, access_token } = sandbox.control.items.list().find((item) => item.access_token)!;
      const of = {
        kind: "exchange",
        intent_id,
        item_id,
        request_id: null,
        from_version: 0,
        fence: 1,
      } as const;
      const record: Given = { ...of, access_token: access_token!, about: nothingKnown };
      // One bit of the seal is another, so that it does not open.
      await leave(world, gone, [record], (sealed) => Buffer.from(sealed.with(-1, sealed.at(-1)! ^ 1)));
      const keeper = await reopen({ now: later });
      const { bad, open } = value(keeper.recovered);
      assert.deepEqual(bad, []);
      for (const one of open) assert.partialDeepStrictEqual(one, { kind: "pending", intent_id, item_id });
      const said = failure(await keeper.link(token));
      assert.partialDeepStrictEqual(said, { kind: "pending", kept: "escrow", cause: { kind: "vault" } });
    });

    inWorld("keepers of two environments on one folder leave each other's records alone", async (world) => {
      const { sandbox, reopen } = world;
      const { at, reached } = hanging();
      const gone = await reopen({ at });
      const { item_id } = await adopt(world, gone);
      void gone.rotate(item_id);
      await reached;
      await leave(world, gone, [await rotated(world, gone, item_id)]);
      const production = await reopen({ now: later }, { env: "production" });
      const looked = value(production.recovered);
      assert.deepEqual([looked.adopted, looked.open, looked.bad], [[], [], []]);
      const keeper = await reopen({ now: later });
      const { adopted, bad } = value(keeper.recovered);
      assert.deepEqual([adopted, bad], [[item_id], []]);
      value(await keeper.get(item_id));
      assert.deepEqual(await violations(sandbox, keeper, { removals: new Set() }), []);
      value(await production.recover());
    });

    inWorld("with a process go the leases of its sweeps", async (world) => {
      const first = await world.reopen();
      const given = await exchanged(world);
      const gone = await leave(world, first, [given]);
      const lease = { fence: 1, until_ms: Date.now() + 60_000 };
      const rows = [
        { ...lease, name: leaseOfItem("flown"), holder: gone },
        { ...lease, name: leaseOfItem("swept"), holder: sweeperOf(gone) },
        { ...lease, name: leaseOfItem("other"), holder: sweeperOf("lives") },
      ];
      await first.database.sql.insertInto("leases").values(rows).execute();
      const keeper = await world.reopen();
      assert.deepEqual(value(keeper.recovered).adopted, [given.item_id]);
      const left = keeper.database.sql.selectFrom("leases").select("name").where("until_ms", ">", Date.now());
      assert.deepEqual(await left.where("name", "like", "item %").execute(), [{ name: "item other" }]);
    });

    inWorld("a record that was brought in before does not bring back a removed Item", async (world) => {
      const { sandbox, plaid, reopen } = world;
      const keeper = await reopen();
      const token = await publicToken(plaid);
      const { item_id } = value(await keeper.link(token, { userId: "u" }));
      const access_token = sandbox.control.items.get(item_id).access_token!;
      const { intent_id, request_id } = await keeper.database.sql
        .selectFrom("intents")
        .select(["intent_id", "request_id"])
        .where("item_id", "=", item_id)
        .executeTakeFirstOrThrow();
      assert.ok(request_id !== null);
      assert.equal(value(await keeper.remove(item_id)).state, "removed");
      // The page brings its token once more: the intent of that has the name of the first.
      assert.equal(failure(await keeper.link(token, { userId: "u" })).kind, "plaid");
      const history = () =>
        keeper.database.sql.selectFrom("events").select("kind").where("item_id", "=", item_id).execute();
      const before = await history();
      const of = { kind: "exchange", intent_id, item_id, request_id, from_version: 0, fence: 1 } as const;
      await leave(world, keeper, [{ ...of, access_token, about: nothingKnown }]);
      const next = await reopen();
      assert.deepEqual(value(next.recovered).open, []);
      const item = value(await next.find(item_id));
      assert.deepEqual([item.state, item.token_version], ["removed", 1]);
      assert.deepEqual(await history(), before);
      assert.deepEqual(value(await next.recover()).adopted, [], "and it is settled");
    });

    inWorld("who is willing to wait does not join one who is not", async (world) => {
      const keeper = await world.reopen();
      const { item_id } = await adopt(world, keeper);
      const { database } = keeper;
      const { sql } = database;
      const name = leaseOfItem(item_id);
      const at = Date.now();
      const held = { name, holder: "another", fence: 1, until_ms: at + 60_000 };
      await sql.insertInto("leases").values(held).execute();
      const intent = { intent_id: "left", environment: "sandbox", kind: "rotate", item_id } as const;
      await sql
        .insertInto("intents")
        .values({ ...intent, opened_at: at })
        .execute();
      let waits = 0;
      const means = {
        ...{ database, environment: "sandbox", holder: "this", now: () => at, leaseMs: 1, patienceMs: 1_000 },
        wait: async () => {
          waits++;
          await sql.updateTable("leases").set({ until_ms: 0 }).where("name", "=", name).execute();
        },
      } as unknown as Means;
      let finished = 0;
      const finish: Act = async ({ item }) => {
        finished++;
        const ended = { settled_at: at, outcome: "not-done" } as const;
        await sql.updateTable("intents").set(ended).where("item_id", "=", item_id).execute();
        return ok(item as never);
      };
      const flights = new Flights(means, new Salvage(means), finish);
      const [hasty, patient, another] = await Promise.all([
        flights.land(item_id, 0),
        flights.land(item_id),
        flights.land(item_id),
      ]);
      const busy: KeeperFailure = { kind: "busy", item_id };
      assert.deepEqual([hasty, patient, another], [err(busy), ok(undefined), ok(undefined)]);
      assert.deepEqual([waits, finished], [1, 1]);
    });

    test("a flight waits for the sweep of its own process, whose call is out", async () => {
      const [swept, wanted] = ["https://sweep.example/a", "https://live.example/b"];
      const world = await fleet(await empty(), escrowFolder(), 1);
      const item_id = world.items[0]!;
      const out = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      const post: Config["post"] = async (url, body, ...rest) => {
        if (url.endsWith("/item/webhook/update") && body.includes(swept)) {
          out.resolve();
          await gate.promise;
        }
        return world.sandbox.post(url, body, ...rest);
      };
      let asked = false;
      let waits = 0;
      /** The sweep's call arrives long after a flight that waits for nobody is through. */
      const wait = (ms: number) => {
        if (asked && ++waits === 100) gate.resolve();
        return new Promise((resolve) => setTimeout(resolve, Math.min(ms, 1_000) / 50));
      };
      const keeper = await world.another({ wait }, { post });
      try {
        const { sweep_id } = value(await keeper.sweep("webhook", { webhook: swept }));
        const worker = keeper.sweeps.work(quick);
        await out.promise;
        asked = true;
        const moved = await keeper.updateWebhook(item_id, wanted);
        gate.resolve();
        await until(keeper, sweep_id);
        await worker.close();
        assert.equal(value(moved).webhook, wanted);
        assert.equal(value(await keeper.find(item_id)).webhook, wanted);
        assert.equal(await webhookAtPlaid(world.sandbox, world.plaid, item_id), wanted);
      } finally {
        gate.resolve();
        await world.close();
      }
    });
  });
}

/** An Item that the application had, and no step of ours stands in the way of. */
async function adopt({ plaid }: World, keeper: Keeper): Promise<{ readonly item_id: string }> {
  const { access_token } = unwrap(await Item.exchangePublicToken(await publicToken(plaid), plaid));
  return value(await keeper.importItem(access_token));
}
